"""Running figures of the learner between two reports."""

import time
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gato_dist.telemetry import RecentTraining

MOST_UNREAD = 64  # parts of batches


class Meter:
    """Collects losses and token counts, and turns them into rates and means since the last report."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self._tasks = tasks
        self._waited = 0.0
        self._reset()

    def add(
        self, loss_per_token: list[Tensor], task_of_token: list[np.ndarray], tokens: int, wait_seconds: float
    ) -> None:
        """A step: of each part of its batch losses float32, of which the first M count, and their tasks int [M].

        Losses are not read before they are asked for: that would wait for the device. tokens: of the whole batch,
        other workers' shares too; seconds that it was waited for.
        """
        self._unread += zip(loss_per_token, task_of_token, strict=True)
        self._tokens += tokens
        self._steps += 1
        self._waited += wait_seconds
        if len(self._unread) >= MOST_UNREAD:
            self._read()

    def report(self) -> RecentTraining | None:
        """Returns what happened since the last report; None if no step was made."""
        if not self._steps:
            return None
        self._read()
        seconds = max(time.monotonic() - self._since, 1e-9)
        recent = RecentTraining(
            loss=float(self._loss.sum() / self._targets.sum()),
            task_losses={
                task: float(self._loss[index] / self._targets[index])
                for index, task in enumerate(self._tasks)
                if self._targets[index]
            },
            tokens_per_second=self._tokens / seconds,
            steps_per_second=self._steps / seconds,
            wait_seconds=self._waited,
        )
        self._reset()
        return recent

    def _read(self) -> None:
        count = len(self._tasks)
        for losses, tasks in self._unread:
            values = losses[: len(tasks)].cpu().numpy()
            self._loss += np.bincount(tasks, weights=values, minlength=count)
            self._targets += np.bincount(tasks, minlength=count)
        self._unread.clear()

    def _reset(self) -> None:
        self._unread: list[tuple[Tensor, np.ndarray]] = []
        self._loss, self._targets = np.zeros(len(self._tasks)), np.zeros(len(self._tasks))
        self._tokens = self._steps = 0
        self._since = time.monotonic()
