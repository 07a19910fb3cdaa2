"""Which of a run's weights are best, and when training has come far enough: by the mean fraction over all tasks."""

from gato_dist.config.process_sections import EvaluationConfig
from gato_dist.scores.table import MeanPoint


class Selection:
    """Takes means as they come. best: the highest so far, also before this start."""

    def __init__(self, settings: EvaluationConfig, best: float) -> None:
        """best: of the weights kept by an earlier start; −∞ without any."""
        self.best = best
        self._settings = settings
        self._newest, self._without = -1, 0

    def add(self, point: MeanPoint) -> bool:
        """Whether its version is the best now. A mean of several versions counts only where scores take turns."""
        mixed = point.oldest_version < point.version and self._settings.task_fraction == 1
        if mixed or not point.equal_episodes or point.version <= self._newest:
            return False
        self._newest = point.version
        better = point.mean > self.best
        self.best, self._without = max(self.best, point.mean), 0 if better else self._without + 1
        return better

    def why_end(self, point: MeanPoint) -> str | None:
        """Why training should end after the newest mean that was added; None where it should not."""
        stop_at, patience = self._settings.stop_at, self._settings.patience
        if point.version != self._newest:
            return None
        if stop_at is not None and point.mean >= stop_at:
            return f"mean fraction {point.mean:.2f} reaches evaluation.stop_at {stop_at:g}"
        if patience is not None and self._without >= patience:
            return f"{self._without} means without a new best: evaluation.patience"
        return None


def span_text(point: MeanPoint) -> str:
    """Which versions a mean speaks of."""
    if point.oldest_version == point.version:
        return f"version {point.version}"
    return f"each task's newest score, of versions {point.oldest_version} to {point.version}"
