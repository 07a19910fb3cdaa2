"""How long a run will still take: training by its progress so far, final evaluation by the scores measured so far."""

from collections.abc import Mapping

LEAST_PROGRESS = 0.002  # below that, the start says little of the rest


class TimeLeft:
    """Estimates of one start of a run, in seconds of wall-clock time; None as long as nothing is known."""

    def __init__(self, actors: int = 1) -> None:
        """actors: tasks that the final evaluation plays at once."""
        self._actors = actors
        self._first: tuple[float, float] | None = None
        self._training: float | None = None
        self._known: tuple[float, float] = (0.0, 0.0)
        self._episode_seconds: dict[str, float] = {}
        self._ends: float | None = None

    def learned(self, now: float, progress: float) -> None:
        """Training has come to `progress`, a share, at the time `now` in seconds."""
        if self._first is None:
            self._first = now, progress
        began, before = self._first
        if progress > self._known[1]:
            self._known = now, progress
            if progress - before >= LEAST_PROGRESS:
                self._training = (now - began) / (progress - before) * (1 - progress)

    def scored(self, task: str, seconds: float, episodes: int) -> None:
        """A task's evaluation took so long."""
        self._episode_seconds[task] = seconds / episodes

    def training(self, now: float) -> float | None:
        """Until training ends."""
        return None if self._training is None else max(self._training - (now - self._known[0]), 0.0)

    def evaluation(self, episodes: Mapping[str, int]) -> float | None:
        """For a number of episodes of each task; a task that was never scored takes as long as the others do."""
        if not self._episode_seconds:
            return None
        usual = sum(self._episode_seconds.values()) / len(self._episode_seconds)
        seconds = [count * self._episode_seconds.get(task, usual) for task, count in episodes.items()]
        return max(sum(seconds) / min(self._actors, len(seconds)), max(seconds))

    def begin_evaluation(self, now: float, episodes: Mapping[str, int]) -> None:
        """The final evaluation begins; what is expected of it now counts down from here.

        Tasks overlap and the episodes of a task end together, so that the episodes done say little of the rest.
        """
        expected = self.evaluation(episodes)
        self._ends = None if expected is None else now + expected

    def rest_of_evaluation(self, now: float) -> float | None:
        """Until the final evaluation, which has begun, ends; None if that is unknown, or was expected before now."""
        return None if self._ends is None or now >= self._ends else self._ends - now
