"""report.html: what it shows, which folders it refuses, and that it is self-contained and escapes all names."""

import re
from pathlib import Path

import pytest
from markupsafe import Markup

from gato_dist.errors import InputError
from gato_dist.plots.figure import GRID, INK, PAPER, SOFT
from gato_dist.records.cost import CostMeter
from gato_dist.report.pages import Table, render_page
from gato_dist.report.run_page import write_report
from gato_dist.scores.results import EpisodeLog, TaskResult
from gato_dist.scores.table import ScoreRow, ScoreTable
from tests.gato_dist.plots.helpers import HOSTILE, row
from tests.support.fakes import learner_report


def make_run(folder: Path, rows: list[ScoreRow], config: str = "name: small\nseed: 0\n") -> Path:
    table = ScoreTable(folder / "scores.csv")
    for each in rows:
        table.append(each)
    (folder / "config.yaml").write_text(config)
    return folder


def page_of(folder: Path) -> str:
    return write_report(folder).read_text()


def test_hostile_names_and_configs_are_escaped(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row(HOSTILE)], "name: <img src=x>\nnote: </pre><script>1</script>\n"))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row(), row(step=200)]))
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"'\s<]*", page)) == namespaces
    assert not re.search(r"<script|<link|<img|<image|<iframe|@import|url\((?!#)|\ssrc=|href=\"(?!#)", page)


def test_the_summary_counts_tasks_clearly_above_random(tmp_path: Path) -> None:
    rows = [row("ale/a", 0.8), row("ale/b", 0.25), row("ale/c", None), row("ale/a", 0.6, step=300)]
    page = page_of(make_run(tmp_path, rows))
    assert "fraction is 0.42 over 2 tasks with a valid expert; in 1 of them" in page.replace("\n", " ")
    assert "version 3, and the learner has taken 300 steps" in page


def test_the_score_table_has_means_fractions_and_intervals(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row(), row("ale/none", None)]))
    assert "<td>ale/boxing</td><td>0</td><td>10</td><td>5 ± –</td><td>0.50</td><td>0.40 … 0.60</td><td>8</td>" in page
    assert "<td>no expert</td><td>–</td>" in page


@pytest.mark.parametrize("missing", ["scores.csv", "config.yaml"])
def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path: Path, missing: str) -> None:
    (make_run(tmp_path, [row()]) / missing).unlink()
    with pytest.raises(InputError, match=missing) as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["not,a,row\n", "x" + ",1" * 11 + "\n"])
def test_a_broken_line_of_scores_is_refused_by_name(tmp_path: Path, line: str) -> None:
    with (make_run(tmp_path, [row()]) / "scores.csv").open("a") as file:
        file.write(line)
    with pytest.raises(InputError, match=r"scores\.csv"):
        write_report(tmp_path)


def test_a_failed_write_leaves_the_old_report_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, [row()])
    old = page_of(run)

    def full_disk(self: Path, text: str, *args: str) -> int:
        self.write_bytes(text[:100].encode())
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space left on its disk"):
        write_report(run)
    assert (run / "report.html").read_text() == old
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "report.html", "scores.csv"]


def test_a_run_without_scores_still_has_a_page(tmp_path: Path) -> None:
    assert "No fraction has been measured yet" in page_of(make_run(tmp_path, []))


def test_scalars_are_read_from_tensorboard_events(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path / "tensorboard")) as writer:
        for step, loss in ((1, 3.0), (2, float("nan")), (750, 1.25)):
            writer.add_scalar("learner/loss", loss, step)
        writer.add_scalar("weights/lag", 2, 750)
    page = page_of(make_run(tmp_path, [row(step=100)]))
    assert "last 1.25" in page
    assert "Weights lag" in page
    assert "Tokens learned" not in page
    assert "has taken 750 steps" in page


def keep_episodes(folder: Path, rows: list[ScoreRow], success: bool | None = None) -> None:
    log = EpisodeLog(folder / "episodes.jsonl")
    for each in rows:
        returns = (each.mean,) * each.episodes
        successes = None if success is None else (success,) * each.episodes
        log.append(TaskResult(row=each, returns=returns, successes=successes, tokens=100, seconds=2.0))


def test_aggregates_are_over_the_episodes_of_the_newest_scores(tmp_path: Path) -> None:
    rows = [row("ale/a", step=100), row("ale/a", step=200), row("ale/none", None), row("babyai/b")]
    run = make_run(tmp_path, rows)
    keep_episodes(run, rows, success=True)
    page = page_of(run)
    assert "<td>ale</td><td>1</td><td>0.50 [0.50, 0.50]</td><td>0.50 [0.50, 0.50]</td><td>0 of 1</td>" in page
    assert "<td>all tasks</td><td>2</td>" in page
    assert "<td>100%</td>" in page
    assert "Share of tasks above each fraction" in page


def test_a_run_without_kept_episodes_has_no_aggregates(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row()]))
    assert "Aggregates over tasks" not in page
    assert "Cost and versions" not in page


def test_the_cost_covers_all_starts(tmp_path: Path) -> None:
    run = make_run(tmp_path, [row()])
    CostMeter(run / "cost.json").write(3000.0, 500, learner_report(tokens=70, seconds=40.0), 0.25)
    CostMeter(run / "cost.json").write(900.0, 100, learner_report(tokens=90, seconds=61.0), 0.5)
    page = page_of(run)
    assert "<td>Environment steps of actors</td><td>600</td>" in page
    assert "<td>Tokens learned</td><td>90</td>" in page
    assert "<td>1 min 1 s</td>" in page
    assert "<td>1 h 5 min, in 2 starts</td>" in page
    assert "<td>0.75 kWh (processors only)</td>" in page
    assert "python 3." in page


def test_key_numbers_and_the_way_they_were_measured_are_shown_first(tmp_path: Path) -> None:
    config = "name: small\nevaluation: {temperature: 0.4, prompt_tokens: 0}\n"
    rows = [row("ale/boxing", 0.9, step=300), row("ale/none", None, step=300), row("ale/pong", 0.3, step=200)]
    run = make_run(tmp_path, rows, config)
    for each in rows:
        result = TaskResult(row=each, returns=(4.0, 6.0), successes=None, tokens=700, seconds=3.0)
        EpisodeLog(run / "episodes.jsonl").append(result)
    CostMeter(run / "cost.json").write(5400.0, 281_244, learner_report(tokens=1_260_000_000, seconds=40.0), None)
    page = page_of(run).replace("\n", " ")
    tiles = re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", page)
    assert [value for value, _ in tiles] == ["0.60", "1 of 2", "1 of 2", "1.26 billion", "281 thousand", "90 min"]
    assert "played 8 times on held-out seeds" in page
    assert "actions sampled at temperature 0.4 and no prompt" in page
    assert "newest scores are of weights versions 2 to 3" in page
    assert "<td>5 ± 1</td>" in page, "s.e. of 4 and 6"
    assert "without a valid expert: ale/none" in page


def test_a_damaged_cost_is_refused_by_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, [row()])
    (run / "cost.json").write_text("{")
    with pytest.raises(InputError, match=r"cost\.json: damaged"):
        write_report(run)


def test_every_value_of_a_page_is_escaped_and_unprintable_characters_are_replaced() -> None:
    table = Table(["<b>"], [["a & b\x00"]])
    page = render_page(
        "dataset.html", title="<i>", kind="dataset", summary="\u202e", tasks=table, distributions=Markup("<svg/>")
    )
    assert "<th>&lt;b&gt;</th>" in page
    assert "<td>a &amp; b\ufffd</td>" in page
    assert "<h1>&lt;i&gt;</h1><p>\ufffd</p>" in page
    assert "<svg/>" in page


def test_charts_take_the_colours_of_a_dark_page(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row()]))
    for colour in (INK, SOFT, PAPER):
        assert f'svg [style*="fill: {colour}"]' in page
        assert re.search(rf'<(?:text|path)[^>]*style="[^"]*fill: {colour}', page)
    assert f'svg [style*="stroke: {GRID}"]' in page
    assert re.search(rf'style="[^"]*stroke: {GRID}', page)
