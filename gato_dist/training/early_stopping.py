"""Which weights of a run are the best, and when training ends early: both by the mean fraction over all tasks."""

from gato_dist.config.sections import EvaluationConfig
from gato_dist.scores.table import MeanPoint


class Selection:
    """Compares the means of successive weights versions.

    Attributes:
        best: the highest mean so far, including earlier starts.
    """

    def __init__(self, config: EvaluationConfig, best: float) -> None:
        """Begins with the best mean of earlier starts.

        Args:
            config: when training ends early.
            best: the mean of the best weights that were kept; −∞ if there are none.
        """
        self.best = best
        self._config = config
        self._newest_version, self._means_without_best = -1, 0

    def add(self, point: MeanPoint) -> bool:
        """Returns whether a mean is a new best.

        A mean is ignored if its tasks have different numbers of episodes or its version was added before. A mean over
        several versions counts only if evaluation scores a share of the tasks at a time.
        """
        mixed = point.oldest < point.version and self._config.share == 1
        if mixed or not point.even or point.version <= self._newest_version:
            return False
        self._newest_version = point.version
        better = point.mean > self.best
        self.best = max(self.best, point.mean)
        self._means_without_best = 0 if better else self._means_without_best + 1
        return better

    def why_end(self, point: MeanPoint) -> str | None:
        """Returns why training should end after the mean that was added last; None if it should go on."""
        stop_at, patience = self._config.stop_at, self._config.patience
        if point.version != self._newest_version:
            return None
        if stop_at is not None and point.mean >= stop_at:
            return f"mean fraction {point.mean:.2f} reaches evaluation.stop_at {stop_at:g}"
        if patience is not None and self._means_without_best >= patience:
            return f"{self._means_without_best} means without a new best: evaluation.patience"
        return None


def span_text(point: MeanPoint) -> str:
    """Returns which weights versions a mean is over."""
    if point.oldest == point.version:
        return f"version {point.version}"
    return f"each task's newest score, of versions {point.oldest} to {point.version}"
