"""Running figures of the learner between two reports."""

import time
from collections.abc import Sequence

import numpy as np
from torch import Tensor


class Meter:
    """Collects losses and token counts, and turns them into rates and means since the last report."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self._tasks = tasks
        self._waited = 0.0
        self._reset()

    def add(self, loss_per_token: Tensor, task_of_token: np.ndarray, tokens: int, wait_seconds: float) -> None:
        """Losses float32 [M] and their tasks int [M]; tokens of the batch; seconds that the batch was waited for."""
        count = len(self._tasks)
        self._loss += np.bincount(task_of_token, weights=loss_per_token.cpu().numpy(), minlength=count)
        self._targets += np.bincount(task_of_token, minlength=count)
        self._tokens += tokens
        self._steps += 1
        self._waited += wait_seconds

    def report(self) -> dict[str, float]:
        """Figures since the last report, which begin anew. Empty before the first batch."""
        if not self._steps:
            return {}
        seconds = max(time.monotonic() - self._since, 1e-9)
        figures = {
            "loss": float(self._loss.sum() / self._targets.sum()),
            "tokens_per_second": self._tokens / seconds,
            "steps_per_second": self._steps / seconds,
            "wait_seconds": self._waited,
        }
        for index, task in enumerate(self._tasks):
            if self._targets[index]:
                figures[f"loss/{task}"] = float(self._loss[index] / self._targets[index])
        self._reset()
        return figures

    def _reset(self) -> None:
        self._loss, self._targets = np.zeros(len(self._tasks)), np.zeros(len(self._tasks))
        self._tokens = self._steps = 0
        self._since = time.monotonic()
