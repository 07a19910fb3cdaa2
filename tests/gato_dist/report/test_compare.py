"""Comparison of runs: aggregates over common tasks, all other tasks shown, pages and pictures."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gato_dist.cli.main import main
from gato_dist.report.compare import (
    ComparedRun,
    common_tasks,
    comparison_table,
    learner_step,
    tokens_learned,
    training_minutes,
)
from gato_dist.scores.references import Reference, Score
from gato_dist.scores.results import EpisodeLog, TaskResult
from gato_dist.scores.table import ScoreTable


def make_run(folder: Path, fractions: dict[str, list[float]], kept: bool = True) -> Path:
    """Writes a run folder, one weights version per value. The expert of tasks named `none` is as good as random."""
    folder.mkdir()
    (folder / "config.yaml").write_text("name: x\n")
    table, log = ScoreTable(folder / "scores.csv"), EpisodeLog(folder / "episodes.jsonl")
    for task, values in fractions.items():
        expert = 0.0 if task.endswith("none") else 10.0
        first, second = (
            Score(mean=mean, std=0.0, episodes=9, seed=0, policy="p", policy_hash="h", success=None, date="2026-01-01")
            for mean in (0.0, expert)
        )
        for version, value in enumerate(values, 1):
            result = TaskResult.of(
                task, [10 * value] * 4, [None] * 4, Reference(first, second, {}),
                step=100 * version, weights_version=version, tokens=5000 * version, seconds=60.0 * version,
            )  # fmt: skip
            table.append(result.row)
            if kept:
                log.append(result)
    return folder


@pytest.fixture
def runs(tmp_path):
    one = make_run(tmp_path / "one", {"a/x": [0.2, 0.6], "a/y": [0.4, 0.8], "b/only": [0.0, 1.0], "b/none": [1.0]})
    two = make_run(tmp_path / "two", {"a/y": [0.5, 0.9], "a/x": [0.1, 0.3], "b/none": [1.0]})
    return [one, two]


def test_means_are_over_the_common_tasks_and_every_task_is_shown(runs):
    loaded = [ComparedRun.load(folder) for folder in runs]
    common = common_tasks(loaded)
    assert common == ["a/x", "a/y"]
    compared = comparison_table(loaded, common)
    table = {line[0]: line[1:] for line in compared.rows}
    assert compared.head == ["", "one", "two"]
    assert table["mean of 2 common tasks"] == ["0.70 [0.70, 0.70]", "0.60 [0.60, 0.60]"]
    assert table["above 80 %"] == ["0 of 2", "1 of 2"]
    assert table["b/only"] == ["1.00 [1.00, 1.00]", "–"]
    assert table["b/none"] == ["no expert", "no expert"]


def test_curves_are_by_tokens_steps_and_minutes_over_the_common_tasks(runs):
    run = ComparedRun.load(runs[0])
    for axis, places in ((learner_step, (100, 200)), (tokens_learned, (5000, 10000)), (training_minutes, (1.0, 2.0))):
        curve = run.curve(["a/x", "a/y"], axis)
        assert curve == [(places[0], pytest.approx(0.3)), (places[1], pytest.approx(0.7))]


def test_runs_without_kept_episodes_have_means_without_intervals(tmp_path, runs):
    old = make_run(tmp_path / "old", {"a/x": [0.5], "a/y": [0.7]}, kept=False)
    loaded = [ComparedRun.load(folder) for folder in (runs[0], old)]
    table = {line[0]: line[1:] for line in comparison_table(loaded, common_tasks(loaded)).rows}
    assert table["mean of 2 common tasks"] == ["0.70 [0.70, 0.70]", "0.60"]
    assert table["interquartile mean"][1] == "–"


def test_runs_without_a_common_task_are_still_shown(tmp_path, capsys):
    folders = [str(make_run(tmp_path / name, {f"a/{name}": [0.5]})) for name in ("x", "y")]
    assert main(["compare", *folders, "--out", str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    assert "no task with a valid expert is common to all" in shown
    assert "a/y" in shown


def test_the_page_is_written_once_and_escaped(tmp_path, runs, capsys):
    hostile = make_run(tmp_path / "<b>bold", {"a/x": [0.5], "a/y": [0.5]})
    out = tmp_path / "page.html"
    arguments = ["compare", str(hostile), str(runs[0]), "--out", str(out)]
    assert main(arguments) == 0
    page = out.read_text()
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    for axis in ("tokens learned", "learner step", "minutes of training"):
        assert f"Mean expert-score fraction by {axis}" in page
    assert main(arguments) == 2
    assert "page.html: give a new file" in capsys.readouterr().err


def test_runs_with_equal_names_are_distinguished_by_their_folders(tmp_path, capsys):
    (tmp_path / "p").mkdir()
    (tmp_path / "q").mkdir()
    folders = [str(make_run(tmp_path / side / "same", {"a/x": [0.5]})) for side in ("p", "q")]
    assert main(["compare", *folders]) == 0
    shown = capsys.readouterr().out
    assert "p/same" in shown
    assert "q/same" in shown


def test_a_folder_without_a_run_is_refused(tmp_path, runs, capsys):
    assert main(["compare", str(runs[0]), str(tmp_path)]) == 2
    assert "no scores.csv here" in capsys.readouterr().err


def test_the_picture_shows_every_run_of_each_task(tmp_path, runs):
    out = tmp_path / "tasks.svg"
    assert main(["compare", *map(str, runs), "--out", str(out)]) == 0
    texts = [each.text for each in ElementTree.fromstring(out.read_text()).iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in ("0.60", "0.30")] == ["0.60", "0.30"]
    assert texts.count("no expert") == 2
    assert texts.count("–") == 1  # b/only was not played by the second


def test_the_success_rate_is_shown_with_the_fraction(tmp_path):
    folder = make_run(tmp_path / "one", {"a/x": [0.5]}, kept=False)
    row = ComparedRun.load(folder).rows[0]
    EpisodeLog(folder / "episodes.jsonl").append(
        TaskResult(row=row, returns=(5.0,) * 4, successes=(True, True, True, False), tokens=0, seconds=0.0)
    )
    run = ComparedRun.load(folder)
    assert run.scores.successes == {"a/x": 0.75}
    assert comparison_table([run], ["a/x"]).rows[-1] == ["a/x", "0.50 [0.50, 0.50], 75% success"]


def test_an_evaluated_checkpoint_is_compared_like_a_run(tmp_path, runs, capsys):
    details = tmp_path / "alone.json"
    score = Score(mean=0.0, std=0.0, episodes=9, seed=0, policy="p", policy_hash="h", success=None, date="2026-01-01")
    reference = Reference(score, replace(score, mean=10.0), {})
    result = TaskResult.of(
        "a/x", [4.0, 6.0], [True, False], reference, step=7, weights_version=3, tokens=900, seconds=60.0
    )
    details.write_text(json.dumps({"tasks": [result.to_dict()]}))
    loaded = ComparedRun.load(details)
    assert (loaded.name, loaded.scores.successes, loaded.cost.tokens) == ("alone", {"a/x": 0.5}, 900)
    assert main(["compare", str(runs[0]), str(details)]) == 0
    assert "0.50 [0.40, 0.60], 50% success" in capsys.readouterr().out
    for wrong in ("{}", "[", '{"tasks": []}', '{"tasks": [{"returns": "x"}]}'):
        details.write_text(wrong)
        assert main(["compare", str(runs[0]), str(details)]) == 2
        assert "alone.json: not what" in capsys.readouterr().err
