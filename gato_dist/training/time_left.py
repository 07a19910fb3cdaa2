"""Estimates how long a run will still take: training from its progress, the final evaluation from earlier scores."""

from collections.abc import Mapping

MIN_PROGRESS = 0.002  # less says little about the rest


class TimeLeft:
    """Estimates for one start of a run, in wall-clock seconds. An estimate is None while nothing is known."""

    def __init__(self, actors: int = 1) -> None:
        """Begins without knowledge.

        Args:
            actors: the number of tasks that the final evaluation plays at the same time.
        """
        self._actors = actors
        self._first: tuple[float, float] | None = None
        self._latest: tuple[float, float] = (0.0, 0.0)
        self._training: float | None = None
        self._episode_seconds: dict[str, float] = {}
        self._evaluation_ends: float | None = None

    def learned(self, now: float, progress: float) -> None:
        """Records the progress of training.

        Args:
            now: the time in seconds.
            progress: the share of the training that is over, 0 … 1.
        """
        if self._first is None:
            self._first = now, progress
        began, first_progress = self._first
        if progress > self._latest[1]:
            self._latest = now, progress
            if progress - first_progress >= MIN_PROGRESS:
                self._training = (now - began) / (progress - first_progress) * (1 - progress)

    def scored(self, task: str, seconds: float, episodes: int) -> None:
        """Records how many seconds the evaluation of a task took."""
        self._episode_seconds[task] = seconds / episodes

    def training(self, now: float) -> float | None:
        """Returns the seconds until training ends."""
        return None if self._training is None else max(self._training - (now - self._latest[0]), 0.0)

    def evaluation(self, episodes: Mapping[str, int]) -> float | None:
        """Returns the seconds that an evaluation takes.

        Args:
            episodes: the number of episodes of each task. A task that was never scored is assumed to take as long per
                episode as the mean of the others.
        """
        if not self._episode_seconds:
            return None
        mean = sum(self._episode_seconds.values()) / len(self._episode_seconds)
        seconds = [count * self._episode_seconds.get(task, mean) for task, count in episodes.items()]
        return max(sum(seconds) / min(self._actors, len(seconds)), max(seconds))

    def begin_evaluation(self, now: float, episodes: Mapping[str, int]) -> None:
        """Begins the countdown of the final evaluation.

        The finished episodes are no help for the estimate: tasks overlap, and the episodes of a task end together.
        """
        expected = self.evaluation(episodes)
        self._evaluation_ends = None if expected is None else now + expected

    def rest_of_evaluation(self, now: float) -> float | None:
        """Returns the seconds until the final evaluation ends; None if it is unknown or overdue."""
        return None if self._evaluation_ends is None or now >= self._evaluation_ends else self._evaluation_ends - now
