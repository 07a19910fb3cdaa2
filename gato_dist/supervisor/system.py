"""A running system: the coordinator, replay servers, actors and learner of one run."""

import time
from functools import partial
from typing import Any

import ray
from ray.actor import ActorHandle

from actors.coordination.link import CoordinatorLink, ReplayAddress
from actors.ray_actors import CoordinatorActor
from gato_dist.config.run_config import RunConfig
from gato_dist.ports import State
from gato_dist.records.run_folder import RunFolder
from gato_dist.supervisor.actor_factory import ActorFactory
from gato_dist.supervisor.actor_pool import ActorPool
from gato_dist.supervisor.learner_job import learn
from gato_dist.supervisor.learner_process import LearnerProcess
from gato_dist.supervisor.plan import Note, RunPlan
from gato_dist.supervisor.planning import poll_interval_scale
from gato_dist.supervisor.quarantine import Quarantine
from gato_dist.supervisor.ray_init import this_node
from gato_dist.supervisor.replay_servers import ReplayServers
from gato_dist.supervisor.waiting import ANSWER_SECONDS, Waiter, start_actor
from gato_dist.telemetry import Telemetry
from gato_dist.utils.restarts import RecoveryTimer
from gato_dist.utils.signals import Interrupt

NODE_SECONDS = 1800.0  # in which a cluster may start a node for a replay server
SAVE_SECONDS = 60.0


class System:
    """All processes of a run that has started; `check` restarts what failed.

    Attributes:
        coordinator: the actor that all processes talk to.
        replay: the replay servers.
        actors: experts, Gato actors and evaluators.
        learner: the learner's process.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        waiter: Waiter,
        recoveries: RecoveryTimer,
        coordinator: ActorHandle,
        replay: ReplayServers,
        actors: ActorPool,
        learner: LearnerProcess,
    ) -> None:
        """Takes parts that are running already; see `start`."""
        # Ray types every method of a handle as Never, which would make what it returns useless to type checkers.
        self.coordinator: Any = coordinator
        self.replay, self.actors, self.learner = replay, actors, learner
        self._folder, self._waiter, self._recoveries = folder, waiter, recoveries

    @classmethod
    def start(cls, plan: RunPlan, interrupt: Interrupt, min_version: int, note: Note) -> "System":
        """Starts every process; returns before the actors have made their environments.

        Args:
            plan: of the run.
            interrupt: ends the wait for replay servers.
            min_version: the highest weights version that was scored before. The learner publishes higher ones only.
            note: called with lines for the run's log.

        Raises:
            InputError: if a replay server's port is taken.
            RunFailed: if a process does not start.
        """
        config, folder, waiter, recoveries = plan.config, plan.folder, Waiter(interrupt), RecoveryTimer()
        quarantine = Quarantine(folder.quarantine, config.actors.max_failures, config.actors.hang_seconds)
        coordinator = _start_coordinator(config, folder)
        replay = ReplayServers(config, plan.tokenizer, folder, plan.step)
        seconds = NODE_SECONDS if config.ray.address else ANSWER_SECONDS
        started = replay.wait_until_started(partial(waiter.get, seconds=seconds), note)
        waiter.get(coordinator.set_replay_addresses.remote(tuple(started)))
        link = CoordinatorLink(coordinator, poll_interval_scale(config))
        addresses = [ReplayAddress(link, shard) for shard in range(len(started))]
        factory = ActorFactory(config=config, link=link, tokenizer=ray.put(plan.tokenizer), addresses=addresses)
        actors = ActorPool(factory, plan.disk_shares, quarantine=quarantine, recoveries=recoveries, waiter=waiter)
        job = partial(learn, plan, addresses, link, min_version)
        storage = folder.replay / "ray_train"
        learner = LearnerProcess(job, config.learner, storage, coordinator=coordinator, recoveries=recoveries)
        return cls(
            folder=folder,
            waiter=waiter,
            recoveries=recoveries,
            coordinator=coordinator,
            replay=replay,
            actors=actors,
            learner=learner,
        )

    @property
    def quarantine(self) -> Quarantine:
        """What is quarantined so far."""
        return self.actors.quarantine

    @property
    def learning(self) -> bool:
        """Whether the learner still has work to do."""
        return self.learner.running

    def add_evaluator(self) -> None:
        """Starts one more evaluator."""
        self.actors.add_evaluator()

    def end_writers(self) -> None:
        """Kills experts and Gato actors: nothing is trained on what they would still write."""
        self.actors.end_writers()

    def check(self, note: Note) -> None:
        """Restarts processes that died, failed or hang.

        Args:
            note: called with lines for the run's log.

        Raises:
            InputError: if a process raised one.
            RunFailed: if a process failed for good, or no task is left.
        """
        self.learner.check(note)
        self._check_replay(note)
        self.actors.check(note)

    def _check_replay(self, note: Note) -> None:
        for death in self._waiter.get(self.coordinator.take_deaths.remote()):
            note(death.message)
            self._recoveries.died(death.process, death.process)
        step = self._waiter.get(self.coordinator.take_replay_save_request.remote())
        if step is not None:
            self.replay.save(step)
        if (self.learning or self.replay.saving) and (addresses := self.replay.check(note)) is not None:
            self.coordinator.set_replay_addresses.remote(tuple(addresses))

    def note_recoveries(self, telemetry: Telemetry, note: Note) -> None:
        """Notes which restarted processes work again.

        Args:
            telemetry: the newest reports.
            note: called with lines for the run's log.
        """
        self._recoveries.update(telemetry.reports, note)

    def scored_weights(self, version: int) -> State | None:
        """Returns the weights behind recent results; None if they are no longer kept."""
        found = self._waiter.get(self.coordinator.scored_weights.remote(version))
        return self._waiter.get(found.reference) if found else None

    def end_learning(self) -> None:
        """Asks the learner to write its last weights and checkpoint, and to return; evaluators go on."""
        self.coordinator.end_learning.remote()

    def stop(self, grace_seconds: float, note: Note) -> None:
        """Asks every process to end, waits for the last checkpoints, then shuts Ray down.

        Args:
            grace_seconds: how long to wait for the learner; longer while it is writing a checkpoint.
            note: called with lines for the run's log.
        """
        if not ray.is_initialized():
            return
        self.coordinator.stop.remote()
        until = time.monotonic() + grace_seconds
        while self.learning and not self.learner.crashed and (time.monotonic() < until or self._writes_checkpoint()):
            time.sleep(0.1)
        self._save_replay(note)
        ray.shutdown()

    def _writes_checkpoint(self) -> bool:
        """Whether the learner is writing one. Unfinished ones of earlier starts were removed at this start."""
        return any(self._folder.checkpoints.glob("step-*.partial"))

    def _save_replay(self, note: Note) -> None:
        """Waits for the replay checkpoint that belongs to the learner's last one."""
        step = ray.get(self.coordinator.take_replay_save_request.remote())
        if step is not None:
            self.replay.save(step)
        until = time.monotonic() + SAVE_SECONDS
        while self.replay.saving and time.monotonic() < until:
            self.replay.check_saving(note)
            time.sleep(0.1)


def _start_coordinator(config: RunConfig, folder: RunFolder) -> ActorHandle:
    """Starts the coordinator next to the run folder: this node outlives all others."""
    tasks = [task.name for task in config.tasks]
    return start_actor(
        CoordinatorActor, tasks, config.evaluation, folder.claim_seed_blocks, scheduling_strategy=this_node()
    )
