"""The process that drives the learner's workers: a Ray task, restarted if it dies."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, WorkerCrashedError

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.supervisor.errors import RunFailed, explain, input_error
from gato_dist.supervisor.plan import Note
from gato_dist.supervisor.ray_init import this_node
from gato_dist.utils.restarts import MAX_FAILURES, RecentFailures, RecoveryTimer
from learner.ray_train import fit, release_placement_groups


class LearnerProcess:
    """Runs `learner.ray_train.fit` in a Ray task on this machine.

    It is no thread of this process: a thread that waits for Ray would crash the process when Ray is shut down.
    """

    def __init__(
        self,
        job: Callable[[], None],
        config: LearnerConfig,
        storage: Path,
        *,
        coordinator: ActorHandle,
        recoveries: RecoveryTimer,
    ) -> None:
        """Starts the learner.

        Args:
            job: what every learner worker does.
            config: number of workers, and what they reserve.
            storage: folder for Ray Train's own files.
            coordinator: knows when the learner is done, and is told about deaths of workers.
            recoveries: notes how long a failed learner was away.
        """
        self._job, self._config, self._storage = job, config, storage
        self._coordinator, self._recoveries = coordinator, recoveries
        self._deaths = RecentFailures()
        self._start()

    def _start(self) -> None:
        remote_fit: Any = ray.remote(fit)
        on_this_node = remote_fit.options(num_cpus=0, max_retries=0, scheduling_strategy=this_node())
        on_death = partial(report_death, self._coordinator)
        self._task = on_this_node.remote(self._job, self._config, self._storage, on_death)

    @property
    def running(self) -> bool:
        """Whether the learner still has work to do. Ray Train may take longer to end its workers afterwards."""
        if self._ended and not self.crashed:
            return False
        return not ray.get(self._coordinator.learner_done.remote())

    @property
    def crashed(self) -> bool:
        """Whether the process died, and all workers with it; `check` restarts it."""
        try:
            if self._ended:
                ray.get(self._task)
        except WorkerCrashedError:
            return True
        except RayError:
            return False
        return False

    @property
    def _ended(self) -> bool:
        return bool(ray.wait([self._task], timeout=0)[0])

    def check(self, note: Note) -> None:
        """Restarts the process if it died.

        Args:
            note: called with lines for the run's log.

        Raises:
            InputError: if a worker raised one.
            RunFailed: if the learner failed otherwise, or died too often.
        """
        if not self._ended:
            return
        if not self.crashed:
            try:
                ray.get(self._task)
            except RayError as error:
                raise input_error(error) or RunFailed(f"learner: {explain(error)}") from error
        elif self.running:
            if (deaths := self._deaths.add()) > MAX_FAILURES:
                raise RunFailed(f"the learner's driver died {deaths} times")
            note(f"the learner's driver died; starting it again ({deaths} of {MAX_FAILURES})")
            self._recoveries.died("learner", "learner")
            release_placement_groups()
            self._start()


def report_death(coordinator: ActorHandle, line: str) -> None:
    """Tells the coordinator that a learner worker died; `line` goes to the run's log."""
    coordinator.report_death.remote("learner", line)
