"""What a run prints, with and without a terminal, and its estimate of the time that is left."""

import io

import pytest
from rich.console import Console

from gato_dist.report.result_tables import aggregate_table, result_table
from gato_dist.scores.results import TaskResult, aggregates
from gato_dist.scores.table import ScoreRow
from gato_dist.training.status import Status, TaskStatus
from gato_dist.training.status_view import View, render
from gato_dist.training.time_left import TimeLeft
from gato_dist.utils.console import WIDTH, NamedTable

NAMES = ["babyai/go-to-red-ball-grey", "babyai/go-to-red-ball-no-dists", "metaworld/peg-unplug-side-v3", "ale/pong"]
MANY = [f"babyai/go-to-red-ball-number-{i}" for i in range(24)]


def row(task: str) -> ScoreRow:
    return ScoreRow(1000, 3, task, task.split("/")[0], 20, -1234.5, 4844.27, 4213.07, 99.5, 0.84, 0.781, 0.912)


def status(names: list[str]) -> Status:
    tasks = {
        name: TaskStatus(
            fill=0.5, episodes=1234, loss=2.345, score=row(name), gato_episodes=20, gato_dropped=3, weight=0.5
        )
        for name in names
    }
    return Status(
        phase="training",
        seconds=3723.0,
        seconds_left=734.0,
        progress=0.56,
        step=123456,
        loss=2.345,
        skipped=3,
        env_steps_per_second=12345,
        learner_tokens_per_second=123456,
        weights_version=123,
        lag=2,
        use_p50=0.31,
        use_p99=1.9,
        sequences={"expert": 30, "relabelled": 10},
        beta=0.4,
        quarantined=("ale/pong (experts)",),
        tasks=tasks,
    )


def shown(what: object, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(what)
    return out.getvalue()


def result(task: str) -> TaskResult:
    return TaskResult(row(task), (1.0, 2.0), (True, False), 1000, 60.0)


@pytest.mark.parametrize("names", [NAMES, MANY])
def test_plain_lines_stay_under_120_characters_and_name_every_task(names, tmp_path):
    out = io.StringIO()
    with View(tmp_path / "log.txt", Console(file=out, width=WIDTH, highlight=False)) as view:
        view.show(status(names))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) < 120
    assert lines == (tmp_path / "log.txt").read_text().splitlines()
    assert "62:03 training 56%, 12:14 left | step 123,456 | loss 2.345, 3 batches skipped" in lines[0]
    assert all(f"{name} 0.84" in out.getvalue() for name in names)


def test_unchanged_scores_are_not_printed_again(tmp_path, monkeypatch):
    monkeypatch.setattr("gato_dist.training.status_view.PLAIN_SECONDS", 0.0)
    out = io.StringIO()
    with View(tmp_path / "log.txt", Console(file=out, width=WIDTH, highlight=False)) as view:
        view.show(status(NAMES))
        view.show(status(NAMES))
    assert (out.getvalue().count("training 56%"), out.getvalue().count("fractions")) == (2, 1)


def test_final_evaluation_shows_finished_episodes_instead_of_training_progress():
    now = status(NAMES)
    now.phase, now.progress, now.final_episodes, now.seconds_left = "final evaluation", 1.0, (34, 120), 65.0
    assert "final evaluation 34 of 120 episodes, 01:05 left" in now.lines()[0]
    assert "34 of 120 episodes · 62:03 · about 01:05 left" in shown(render(now), 80)
    assert "100" not in now.lines()[0]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_table_truncates_a_name(width):
    results = [result(name) for name in NAMES]
    compared = NamedTable(["task", *[f"run-{i}" for i in range(9)]], [[name, *["0.84 (100 %)"] * 9] for name in NAMES])
    for table in (result_table(results), render(status(NAMES)), compared):
        text = shown(table, width)
        assert max(map(len, text.splitlines())) <= width
        assert all(name in text for name in NAMES), text
        assert "…" not in text.replace(" … ", "")
    means = shown(aggregate_table(aggregates(results)), width)
    assert max(map(len, means.splitlines())) <= width
    assert all("50%" in line.split() for line in means.splitlines() if line.startswith(("babyai", "all tasks")))
    assert all(f"run-{i}" in shown(compared, width) for i in range(9))


def test_a_narrow_terminal_names_the_columns_that_it_leaves_out():
    table = result_table([result(name) for name in NAMES])
    assert all(name in shown(table, 160) for name in table.head)
    narrow = shown(table, 80)
    assert "fraction" in narrow
    assert "no room for: " in narrow
    assert "± s.e." in narrow.split("no room for: ")[1]


def test_a_name_wider_than_the_terminal_is_folded():
    name = "ale/" + "x" * 60
    folded = shown(NamedTable(["task", "fraction"], [[name, "0.84"]], drop=("fraction",)), 40)
    assert name in "".join(folded.split())


def test_time_left_is_estimated_from_progress_and_earlier_scores():
    """Worked by hand: a tenth took 30 s, so 0.8 takes 240 s; then 20 episodes of 2 s and 10 of 4 s."""
    left = TimeLeft(actors=2)
    assert (left.training(0.0), left.evaluation({"a": 20})) == (None, None)
    left.learned(100.0, 0.1)
    left.learned(130.0, 0.2)
    assert left.training(130.0) == pytest.approx(240.0)
    assert left.training(140.0) == pytest.approx(230.0)
    left.scored("a", 16.0, 8)
    left.scored("b", 32.0, 8)
    assert left.evaluation({"a": 20, "b": 10}) == pytest.approx(40.0)
    assert left.evaluation({"a": 10, "c": 10}) == pytest.approx(30.0)


def test_the_final_evaluation_counts_down_and_is_unknown_once_overdue():
    left = TimeLeft(actors=2)
    left.begin_evaluation(100.0, {"a": 20})
    assert left.rest_of_evaluation(100.0) is None
    left.scored("a", 16.0, 8)
    left.begin_evaluation(100.0, {"a": 20})
    assert left.rest_of_evaluation(110.0) == pytest.approx(30.0)
    left.scored("a", 32.0, 8)
    assert left.rest_of_evaluation(130.0) == pytest.approx(10.0)
    assert left.rest_of_evaluation(141.0) is None
