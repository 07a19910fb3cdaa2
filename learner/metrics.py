"""Metrics of the learner between two reports."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gato_dist.telemetry import RecentTraining

MAX_UNREAD = 64  # parts of batches


class Meter:
    """Collects losses and token counts, and computes means and rates since the last report."""

    def __init__(self, tasks: Sequence[str]) -> None:
        """Makes an empty meter.

        Args:
            tasks: names of the tasks, in the order of their indices.
        """
        self._tasks = tasks
        self._wait_seconds = 0.0
        self._reset()

    def add(
        self, loss_per_token: list[Tensor], task_of_token: list[NDArray[np.int16]], tokens: int, wait_seconds: float
    ) -> None:
        """Adds one gradient step.

        Losses are read from the device later, because reading waits for the device.

        Args:
            loss_per_token: for each part of this worker's batch, float32 losses, of which the first M count.
            task_of_token: for each part, int16 [M], task indices.
            tokens: tokens of the whole batch, including other workers' shares.
            wait_seconds: how long the learner waited for the batch.
        """
        self._unread += zip(loss_per_token, task_of_token, strict=True)
        self._tokens += tokens
        self._steps += 1
        self._wait_seconds += wait_seconds
        if len(self._unread) >= MAX_UNREAD:
            self._read()

    def report(self) -> RecentTraining | None:
        """Returns the metrics since the last report, and resets them; None if there was no step."""
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
            wait_seconds=self._wait_seconds,
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
        self._unread: list[tuple[Tensor, NDArray[Any]]] = []
        self._loss, self._targets = np.zeros(len(self._tasks)), np.zeros(len(self._tasks))
        self._tokens = self._steps = 0
        self._since = time.monotonic()
