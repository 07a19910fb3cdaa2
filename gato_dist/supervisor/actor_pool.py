"""All actors of a run: restarts those that fail, and quarantines tasks whose actors fail again and again."""

from collections.abc import Callable, Sequence

from ray.actor import ActorHandle

from gato_dist.config.run_config import RunConfig
from gato_dist.records.quarantine import Part
from gato_dist.supervisor.actor_factory import ActorFactory
from gato_dist.supervisor.errors import RunFailed
from gato_dist.supervisor.plan import Note
from gato_dist.supervisor.quarantine import Quarantine
from gato_dist.supervisor.supervised_actor import SupervisedActor
from gato_dist.supervisor.waiting import Waiter
from gato_dist.utils.restarts import RecoveryTimer


class ActorPool:
    """Experts, Gato actors and evaluators.

    Attributes:
        quarantine: counts failures by task.
    """

    def __init__(
        self,
        factory: ActorFactory,
        disk_shares: Sequence[float],
        *,
        quarantine: Quarantine,
        recoveries: RecoveryTimer,
        waiter: Waiter,
    ) -> None:
        """Starts all actors; returns before they have made their environments.

        Args:
            factory: starts single actors.
            disk_shares: of each task, the share of its sequences that comes from a dataset; a task with 1 needs no
                expert.
            quarantine: decides which tasks are left out.
            recoveries: notes how long a failed actor was away.
            waiter: waits for the coordinator's answers.
        """
        self.quarantine = quarantine
        self._factory, self._recoveries, self._waiter = factory, recoveries, waiter
        config = factory.config
        self._live = _live_only(config, disk_shares)
        tasks = range(len(config.tasks))
        self._actors = [actor for index in tasks if disk_shares[index] < 1 for actor in factory.experts(index)]
        self._actors += [actor for index in tasks for actor in factory.gato_actors(index)]
        for _ in range(config.evaluation.actors):
            self.add_evaluator()

    def add_evaluator(self) -> None:
        """Starts one more evaluator."""
        number = sum(actor.part is Part.EVALUATION for actor in self._actors)
        self._actors.append(self._factory.evaluator(number))

    def end_writers(self) -> None:
        """Kills experts and Gato actors: nothing is trained on what they would still write."""
        self._end(lambda actor: actor.part is not Part.EVALUATION)

    def check(self, note: Note) -> None:
        """Restarts actors that died, failed or hang; quarantines tasks after `actors.max_failures` failures.

        Args:
            note: called with lines for the run's log.

        Raises:
            InputError: if an actor raised one.
            RunFailed: if no task is left, or an evaluator fails again and again before it has a task.
        """
        silent = self._waiter.get(self._coordinator.seconds_silent.remote())
        # A healthy actor may be silent between two reports.
        patience = self._config.actors.hang_seconds + self._factory.link.report_seconds
        for actor in list(self._actors):
            # An earlier failure in this loop may have quarantined this actor's task, and ended the actor.
            if actor in self._actors:
                reason = actor.failure(silent.get(actor.name, 0.0), patience)
                if reason is not None:
                    self._handle(actor, reason, note)

    def _handle(self, actor: SupervisedActor, reason: str, note: Note) -> None:
        """Restarts an actor that failed, or quarantines its task."""
        self._coordinator.forget_heartbeat.remote(actor.name)
        self._recoveries.died(actor.name, actor.source)
        task = actor.task or self._waiter.get(self._coordinator.give_up_job.remote(actor.name))
        if task is None:
            self._restart_idle(actor, reason, note)
            return
        note(self.quarantine.failed(actor.name, task, actor.part, reason))
        self._coordinator.set_failed_tasks.remote(self.quarantine.troubled(list(self._config.weights)))
        if self.quarantine.has(task, Part.EVALUATION):
            self._coordinator.exclude_task.remote(task)
        self._end(lambda each: each.task is not None and self.quarantine.has(each.task, each.part))
        if actor in self._actors:
            actor.start()
        if end := self.quarantine.why_end(self._live, [each.name for each in self._config.tasks]):
            raise RunFailed(end)

    def _restart_idle(self, actor: SupervisedActor, reason: str, note: Note) -> None:
        """Restarts an evaluator that had no task to score, so that no task is to blame."""
        if (tries := actor.failures.add()) == self._config.actors.max_failures:
            raise RunFailed(f"{actor.name} {reason}, {tries} tries")
        note(f"{actor.name} {reason}; starting it again")
        actor.start()

    def _end(self, condition: Callable[[SupervisedActor], bool]) -> None:
        for actor in filter(condition, self._actors):
            actor.kill()
        self._actors = [actor for actor in self._actors if not condition(actor)]

    @property
    def _config(self) -> RunConfig:
        return self._factory.config

    @property
    def _coordinator(self) -> ActorHandle:
        return self._factory.link.actor


def _live_only(config: RunConfig, disk_shares: Sequence[float]) -> list[str]:
    """Returns all tasks if live experts are the learner's only data; an empty list if it has anything else."""
    return [] if any(disk_shares) or config.corpora else [task.name for task in config.tasks]
