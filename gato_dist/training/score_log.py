"""Writes a run's results to scores.csv, episodes.jsonl and TensorBoard."""

import io
from typing import Any

import numpy as np

from actors.coordination.evaluation import EvaluationResult
from gato_dist.plots.profiles import profile_image
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference
from gato_dist.scores.results import ALL_TASKS, EpisodeLog, TaskResult, with_expert
from gato_dist.scores.table import MeanPoint, ScoreTable, mean_curve
from gato_dist.telemetry import LearnerReport


class ScoreLog:
    """Keeps the results of a run.

    TensorBoard gets fraction/TASK, success/TASK, return/TASK and video/TASK with every result, and
    fraction_of_suite/SUITE with every point of its `mean_curve`, by learner step. Fractions are also written by tokens
    learned and by seconds of training, under fraction_by_tokens/, fraction_by_seconds/ and so on.

    Attributes:
        table: all rows of scores.csv.
        newest: the last result of each task in this start.
        left_out: tasks that are no longer scored; they count in no mean.
    """

    def __init__(self, folder: RunFolder, writer: Any, references: dict[str, Reference]) -> None:
        """Opens the files.

        Args:
            folder: the run folder.
            writer: a TensorBoard `SummaryWriter`.
            references: the reference scores of every task of the run.
        """
        self.newest: dict[str, TaskResult] = {}
        self.left_out: set[str] = set()
        self.table, self._episodes = ScoreTable(folder.scores), EpisodeLog(folder.episodes)
        self._writer, self._references = writer, references
        self._learned: list[tuple[int, int, float]] = [(0, 0, 0.0)]

    def learned(self, report: LearnerReport) -> None:
        """Takes the learner's newest report, which tells the tokens and seconds of later results."""
        if report.step == self._learned[-1][0]:
            return
        # A restarted learner goes on from an earlier step.
        self._learned = [known for known in self._learned if known[0] < report.step]
        self._learned.append((report.step, report.tokens, report.seconds))

    def add(self, found: EvaluationResult, newest_version: int) -> TaskResult:
        """Writes one result.

        Args:
            found: the result.
            newest_version: the newest weights version by now.
        """
        tokens, seconds = self.place(found.step)
        result = TaskResult.of(
            (found.step, found.version, tokens, seconds), found.task, found.returns, found.successes,
            self._references[found.task],
        )  # fmt: skip
        self.table.append(result.row)
        self._episodes.append(result)
        self.newest[found.task] = result
        self._write(result)
        self._writer.add_scalar("weights/lag", newest_version - found.version, found.step)
        self._writer.add_scalar(f"seconds/evaluate/{found.task}", found.seconds, found.step)
        if found.film is not None:
            write_gif(self._writer, f"video/{found.task}", found.film, found.step)
        self._write_mean(result.row.suite, self._newest_mean(result.row.suite), result)
        self._write_mean(ALL_TASKS, self.newest_mean(), result)
        return result

    def place(self, step: int) -> tuple[int, float]:
        """Returns tokens learned and seconds of training at a learner step, interpolated between reports."""
        steps, *metrics = np.array(self._learned).T
        tokens, seconds = (float(np.interp(step, steps, values)) for values in metrics)
        return round(tokens), seconds

    def newest_mean(self) -> MeanPoint | None:
        """Returns the newest mean over all tasks with a valid expert, without `left_out`; None before the first."""
        return self._newest_mean("")

    def draw_profile(self) -> None:
        """Draws the performance profile of the newest results, as a TensorBoard image."""
        results = with_expert(list(self.newest.values()))
        if results:
            step = max(result.row.step for result in results)
            self._writer.add_image("performance_profile", profile_image(results), step, dataformats="HWC")

    def _newest_mean(self, suite: str) -> MeanPoint | None:
        """As `newest_mean`, over the tasks of one suite; "" for all suites."""
        tasks = [
            task for task, reference in self._references.items()
            if task.startswith(f"{suite}/" * bool(suite)) and reference.expert.mean > reference.random.mean
            and task not in self.left_out
        ]  # fmt: skip
        curve = mean_curve(self.table.rows, tasks)
        return curve[-1] if curve else None

    def _write(self, result: TaskResult) -> None:
        row = result.row
        self._writer.add_scalar(f"return/{row.task}", row.mean, row.step)
        if row.fraction is not None:
            self._write_fraction("fraction", row.task, row.fraction, result)
        if result.success is not None:
            self._writer.add_scalar(f"success/{row.task}", result.success, row.step)

    def _write_mean(self, name: str, point: MeanPoint | None, last: TaskResult) -> None:
        """Writes a mean if `last` was the result that completed it."""
        if point is None or point.version != last.row.weights_version or not point.even:
            return
        self._write_fraction("fraction_of_suite", name, point.mean, last)
        if point.oldest < point.version:
            self._writer.add_scalar(f"versions_behind/{name}", point.version - point.oldest, last.row.step)

    def _write_fraction(self, tag: str, name: str, value: float, result: TaskResult) -> None:
        self._writer.add_scalar(f"{tag}/{name}", value, result.row.step)
        self._writer.add_scalar(f"{tag}_by_tokens/{name}", value, result.tokens)
        self._writer.add_scalar(f"{tag}_by_seconds/{name}", value, round(result.seconds))


def write_gif(writer: Any, tag: str, gif: bytes, step: int) -> None:
    """Writes a GIF as a TensorBoard image. TensorBoard shows it as it is; `add_video` would encode it again."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = Image.open(io.BytesIO(gif)).size
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)
