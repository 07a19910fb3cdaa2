"""Where a run's results go: scores.csv, episodes.jsonl, and TensorBoard by step, tokens and seconds."""

import io
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from actors.coordination.evaluation import EvaluationResult
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference, Score
from gato_dist.scores.results import EpisodeLog
from gato_dist.scores.table import ScoreTable
from gato_dist.training.score_log import ScoreLog
from tests.support.fakes import learner_report

Image = pytest.importorskip("PIL.Image")
# TensorBoard's own switch: without it, it imports TensorFlow, which takes seconds.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


class Writer:
    def __init__(self) -> None:
        self.scalars: dict[str, tuple[float, int]] = {}
        self.images: list[tuple] = []
        self.summaries: list[tuple] = []
        self.file_writer = SimpleNamespace(add_summary=lambda *arguments: self.summaries.append(arguments))

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag] = (value, step)

    def add_image(self, tag, picture, step, dataformats) -> None:
        self.images.append((tag, picture.shape, str(picture.dtype), step, dataformats))


@pytest.fixture
def parts(tmp_path):
    def reference(expert: float) -> Reference:
        first, second = (Score(mean, 0.0, 9, 0, "p", "h", None, "2026-01-01") for mean in (0.0, expert))
        return Reference(first, second, {})

    writer, folder = Writer(), RunFolder(tmp_path)
    log = ScoreLog(folder, writer, {"a/x": reference(10.0), "a/y": reference(10.0), "b/none": reference(0.0)})
    log.learned(learner_report(step=10, tokens=1000, seconds=5.0))
    log.learned(learner_report(step=20, tokens=3000, seconds=7.0))
    return log, writer, folder


def found(task: str, score: float, version: int = 1, success=None) -> EvaluationResult:
    return EvaluationResult(
        task=task,
        version=version,
        step=15,
        returns=(score, score),
        successes=(success, success),
        seconds=0.1,
        final=False,
    )


def test_reports_of_a_learner_that_went_back_to_its_checkpoint_replace_later_ones(parts):
    log, _, _ = parts
    log.learned(learner_report(step=14, tokens=1400, seconds=9.0))
    log.learned(learner_report(step=18, tokens=1800, seconds=11.0))
    assert log.place(16) == (1600, 10.0)


def test_tokens_and_seconds_of_a_result_are_interpolated_between_the_learners_reports(parts):
    log, writer, _ = parts
    result = log.add(found("a/x", 4.0, success=True), newest_version=3)
    assert (result.tokens, result.seconds) == (2000, 6.0)
    assert writer.scalars["fraction/a/x"] == (0.4, 15)
    assert writer.scalars["fraction_by_tokens/a/x"] == (0.4, 2000)
    assert writer.scalars["fraction_by_seconds/a/x"] == (0.4, 6)
    assert writer.scalars["success/a/x"] == (1.0, 15)
    assert writer.scalars["weights/lag"] == (2, 15)


def test_a_suites_mean_is_written_once_all_its_tasks_are_scored_with_how_far_versions_differ(parts):
    log, writer, _ = parts
    log.add(found("a/x", 4.0), 1)
    log.add(found("b/none", 1.0), 1)
    assert not [tag for tag in writer.scalars if "of_suite" in tag]
    log.add(found("a/y", 9.0, version=2), 2)
    assert writer.scalars["fraction_of_suite/a"] == (pytest.approx(0.65), 15)
    assert writer.scalars["fraction_of_suite/all tasks"] == (pytest.approx(0.65), 15)
    assert writer.scalars["versions_behind/a"] == (1, 15)
    assert "fraction_of_suite/b" not in writer.scalars


def test_versions_behind_is_not_written_for_a_mean_of_one_version(parts):
    log, writer, _ = parts
    for task, score in (("a/x", 5.0), ("a/y", 9.0)):
        log.add(found(task, score, version=2), 2)
    assert writer.scalars["fraction_of_suite_by_tokens/a"] == (pytest.approx(0.7), 2000)
    assert "versions_behind/a" not in writer.scalars


def test_a_video_goes_to_tensorboard_without_being_encoded_again(parts):
    log, writer, _ = parts
    gif = io.BytesIO()
    Image.new("P", (48, 32)).save(gif, "GIF", save_all=True, append_images=[Image.new("P", (48, 32), 1)])
    log.add(replace(found("a/x", 4.0), film=gif.getvalue()), 1)
    ((summary, step),) = writer.summaries
    (kept,) = summary.value
    assert (kept.tag, step) == ("video/a/x", 15)
    assert (kept.image.width, kept.image.height, kept.image.encoded_image_string) == (48, 32, gif.getvalue())


def test_scores_csv_and_episodes_jsonl_hold_a_line_per_result(parts):
    log, _, folder = parts
    log.add(found("a/x", 4.0), 1)
    log.add(found("b/none", 4.0), 1)
    assert [row.task for row in ScoreTable.read(folder.scores)] == ["a/x", "b/none"]
    assert [result.row for result in EpisodeLog(folder.episodes).read()] == ScoreTable.read(folder.scores)


def test_the_performance_profile_is_drawn_once_a_task_has_a_valid_expert(parts):
    log, writer, _ = parts
    log.add(found("b/none", 4.0), 1)
    log.draw_profile()
    assert writer.images == []
    log.add(found("a/x", 4.0), 1)
    log.draw_profile()
    assert writer.images == [("performance_profile", (360, 560, 3), "uint8", 15, "HWC")]
