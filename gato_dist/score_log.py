"""Where a run's results go as they come: scores.csv, episodes.jsonl and TensorBoard."""

from typing import Any

import numpy as np

from actors.board import EvaluationResult
from gato_dist.profiles import profile_image
from gato_dist.results import ALL_TASKS, EpisodeLog, TaskResult, with_expert
from gato_dist.run_folder import RunFolder
from gato_dist.scores import Reference, ScoreTable


class ScoreLog:
    """table: all lines of scores.csv. newest: the last result of each task since this start.

    TensorBoard gets fraction/TASK, success/TASK and return/TASK as each comes, fraction_of_suite/SUITE once every task
    of the suite is scored with one version, all by learner step; and the fractions by tokens learned, under
    fraction_by_tokens/. TensorBoard itself shows either by wall time.
    """

    def __init__(self, folder: RunFolder, writer: Any, references: dict[str, Reference]) -> None:
        """writer: a SummaryWriter. references: of every task of the run."""
        self.newest: dict[str, TaskResult] = {}
        self.table, self._episodes = ScoreTable(folder.scores), EpisodeLog(folder.episodes)
        self._writer, self._references = writer, references
        self._learned = [(0.0, 0.0, 0.0)]

    def learned(self, learner: dict[str, float]) -> None:
        """The learner's newest figures, from which a result's tokens and seconds are told."""
        if learner and learner["step"] != self._learned[-1][0]:
            self._learned.append((learner["step"], learner["tokens"], learner["seconds"]))

    def add(self, found: EvaluationResult, newest_version: int) -> TaskResult:
        """Keeps one result; newest_version: of the weights that are out by now."""
        step, tokens, seconds = np.array(self._learned).T
        place = tuple(float(np.interp(found.step, step, values)) for values in (tokens, seconds))
        result = TaskResult.of(
            (found.step, found.version, round(place[0]), place[1]), found.task, found.returns, found.successes,
            self._references[found.task],
        )  # fmt: skip
        self.table.append(result.row)
        self._episodes.append(result)
        self.newest[found.task] = result
        self._write(result)
        self._writer.add_scalar("weights/lag", newest_version - found.version, found.step)
        self._writer.add_scalar(f"seconds/evaluate/{found.task}", found.seconds, found.step)
        for name, tasks in ((result.row.suite, self._suite(result.row.suite)), (ALL_TASKS, list(self._references))):
            self._write_mean(name, tasks, result)
        return result

    def draw_profile(self) -> None:
        """The performance profile of the newest results, as an image."""
        results = with_expert(list(self.newest.values()))
        if results:
            step = max(result.row.step for result in results)
            self._writer.add_image("performance_profile", profile_image(results), step, dataformats="HWC")

    def _suite(self, suite: str) -> list[str]:
        return [task for task in self._references if task.split("/", 1)[0] == suite]

    def _write(self, result: TaskResult) -> None:
        row = result.row
        self._writer.add_scalar(f"return/{row.task}", row.mean, row.step)
        if row.fraction is not None:
            self._writer.add_scalar(f"fraction/{row.task}", row.fraction, row.step)
            self._writer.add_scalar(f"fraction_by_tokens/{row.task}", row.fraction, result.tokens)
        if result.success is not None:
            self._writer.add_scalar(f"success/{row.task}", result.success, row.step)

    def _write_mean(self, name: str, tasks: list[str], last: TaskResult) -> None:
        """Once all have been scored with one version, and with as many episodes."""
        done = [self.newest[task] for task in tasks if task in self.newest]
        same = [each.row for each in done if (each.row.weights_version, each.row.episodes) == _round(last)]
        fractions = [row.fraction for row in same if row.fraction is not None]
        if len(same) == len(tasks) and fractions:
            mean = float(np.mean(fractions))
            self._writer.add_scalar(f"fraction_of_suite/{name}", mean, last.row.step)
            self._writer.add_scalar(f"fraction_of_suite_by_tokens/{name}", mean, last.tokens)


def _round(result: TaskResult) -> tuple[int, int]:
    return result.row.weights_version, result.row.episodes
