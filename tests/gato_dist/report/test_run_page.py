"""The report page: what it shows, what it refuses, and that it needs nothing but itself."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gato_dist.errors import InputError
from gato_dist.plots.charts import fraction_bars_svg, learning_curves_svg, scalars_svg
from gato_dist.plots.profiles import profile_svg
from gato_dist.records.cost import CostMeter
from gato_dist.report.run_page import write_report
from gato_dist.scores.results import EpisodeLog, TaskResult
from gato_dist.scores.table import ScoreRow, ScoreTable
from tests.support.fakes import learner_report

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'ale/<script>alert("x")</script>&amp;'


def row(task: str = "ale/boxing", fraction: float | None = 0.5, spread: float = 0.1, step: int = 100) -> ScoreRow:
    low, high = (None, None) if fraction is None else (fraction - spread, fraction + spread)
    return ScoreRow(step, step // 100, task, task.split("/")[0], 8, 0.0, 10.0, 5.0, 1.0, fraction, low, high)


def make_run(folder: Path, rows: list[ScoreRow], config: str = "name: small\nseed: 0\n") -> Path:
    table = ScoreTable(folder / "scores.csv")
    for each in rows:
        table.append(each)
    (folder / "config.yaml").write_text(config)
    return folder


def page_of(folder: Path) -> str:
    return write_report(folder).read_text()


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def lines(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline of a class."""
    found = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}polyline") if e.get("class", "") == kind]
    pairs = [[point.split(",") for point in e.get("points", "").split()] for e in found]
    return [[(float(x), float(y)) for x, y in points] for points in pairs]


def whisker_in_fractions(svg: str) -> tuple[float, float]:
    """The ends of the only whisker, measured against the dotted lines at 0 and 1."""
    zero, one = (line[0][0] for line in lines(svg, "dotted"))
    xs = [x for x, _ in lines(svg, "whisker")[0]]
    return (min(xs) - zero) / (one - zero), (max(xs) - zero) / (one - zero)


@pytest.mark.parametrize("fraction", [0.5, -0.4, 1.3])
def test_whiskers_span_the_interval(fraction: float) -> None:
    ends = whisker_in_fractions(fraction_bars_svg([row(fraction=fraction, spread=0.2)]))
    assert ends == pytest.approx((fraction - 0.2, fraction + 0.2), abs=0.005)


@pytest.mark.parametrize("fraction", [0.6, -0.4])
def test_a_bar_reaches_from_zero_to_its_fraction(fraction: float) -> None:
    svg = fraction_bars_svg([row(fraction=fraction)])
    zero, one = (line[0][0] for line in lines(svg, "dotted"))
    bar = next(e for e in ElementTree.fromstring(svg).iter(f"{SVG}rect") if e.get("class") != "paper")
    start, width = float(bar.get("x", "")), float(bar.get("width", ""))
    assert width == pytest.approx(abs(fraction) * (one - zero), abs=0.2)
    assert (start if fraction > 0 else start + width) == pytest.approx(zero, abs=0.2)


def test_a_fraction_far_outside_leaves_the_others_readable_and_is_told_by_its_value() -> None:
    svg = fraction_bars_svg([row("ale/pong", -30.0), row("ale/boxing", 0.5)])
    zero, one = (line[0][0] for line in lines(svg, "dotted"))
    assert one - zero > 100
    assert "−30.00 [−30.10, −29.90]" in texts(svg)
    assert len(list(ElementTree.fromstring(svg).iter(f"{SVG}path"))) == 1  # the arrow


def test_an_undefined_fraction_reads_no_expert_and_has_no_bar() -> None:
    svg = fraction_bars_svg([row(fraction=None)])
    assert "no expert" in texts(svg)
    assert lines(svg, "whisker") == []


def test_the_last_row_of_a_task_in_file_order_is_its_newest() -> None:
    shown = texts(fraction_bars_svg([row(fraction=0.9, step=900), row(fraction=0.3, step=200)]))
    assert "0.30 [0.20, 0.40]" in shown
    assert not any(text.startswith("0.90") for text in shown)


def test_tasks_stand_under_their_suite() -> None:
    shown = texts(fraction_bars_svg([row("ale/pong"), row("babyai/open"), row("ale/boxing")]))
    assert [text for text in shown if text in {"ale", "pong", "boxing", "babyai", "open"}] == [
        "ale", "pong", "boxing", "babyai", "open",
    ]  # fmt: skip


def test_labels_at_the_ends_of_curves_keep_apart() -> None:
    rows = [row(f"ale/game-{n}", 0.5, step=step) for step in (100, 200) for n in range(30)]
    root = ElementTree.fromstring(learning_curves_svg(rows))
    labels = sorted(float(e.get("y", "")) for e in root.iter(f"{SVG}text") if (e.text or "").startswith("ale/"))
    assert len(labels) == 30
    assert min(b - a for a, b in pairwise(labels)) >= 16.9
    assert labels[-1] < float(root.get("height", ""))


@pytest.mark.parametrize("draw", [fraction_bars_svg, learning_curves_svg])
@pytest.mark.parametrize("rows", [[], [row()], [row(fraction=None)], [row(HOSTILE), row("ale/\x00\ud7ff")]])
def test_a_drawing_stands_alone_as_a_file(draw: Callable[[list[ScoreRow]], str], rows: list[ScoreRow]) -> None:
    root = ElementTree.fromstring(draw(rows))
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert ".paper{fill:#fff}" in draw(rows)


def test_only_known_scalars_are_drawn() -> None:
    shown = texts(scalars_svg({"learner/loss": [(0, 2.0), (1, 1.0)], "other/tag": [(0, 7.0)]}))
    assert "Loss" in shown
    assert "last 1" in shown
    assert not any("tag" in text or "last 7" in text for text in shown)


def test_a_noisy_scalar_is_drawn_as_logged_and_as_its_mean() -> None:
    svg = scalars_svg({"learner/loss": [(step, step % 2) for step in range(600)]})
    logged, mean = ({y for _, y in points} for points in [line for line in lines(svg, "") if len(line) > 2])
    assert len(logged) == 2
    assert list(mean) == pytest.approx([sum(logged) / 2] * len(mean), abs=0.2)


def test_hostile_names_and_configs_are_escaped(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row(HOSTILE)], "name: <img src=x>\nnote: </pre><script>1</script>\n"))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img src=x&gt;" in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row(), row(step=200)]))
    assert set(re.findall(r"https?://[^\"'\s<]*", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\ssrc=|\shref=", page)


def test_the_summary_counts_tasks_clearly_above_random(tmp_path: Path) -> None:
    rows = [row("ale/a", 0.8), row("ale/b", 0.25), row("ale/c", None), row("ale/a", 0.6, step=300)]
    page = page_of(make_run(tmp_path, rows))
    assert "fraction is 0.42 over 2 tasks with a valid expert; in 1 of them" in page.replace("\n", " ")
    assert "version 3, and the learner has taken 300 steps" in page


def test_the_table_gives_scores_as_measured(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row(), row("ale/none", None)]))
    assert "<td>ale/boxing</td><td>0</td><td>10</td><td>5 ± –</td><td>0.50</td><td>0.40 … 0.60</td><td>8</td>" in page
    assert "<td>no expert</td><td>–</td>" in page


@pytest.mark.parametrize("missing", ["scores.csv", "config.yaml"])
def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path: Path, missing: str) -> None:
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
        log.append(TaskResult(each, returns, None if success is None else (success,) * each.episodes, 100, 2.0))


def test_aggregates_count_the_episodes_of_the_newest_lines(tmp_path: Path) -> None:
    rows = [row("ale/a", step=100), row("ale/a", step=200), row("ale/none", None), row("babyai/b")]
    run = make_run(tmp_path, rows)
    keep_episodes(run, rows, success=True)
    page = page_of(run)
    assert "<td>ale</td><td>1</td><td>0.50 [0.50, 0.50]</td><td>0.50 [0.50, 0.50]</td><td>0 of 1</td>" in page
    assert "<td>all tasks</td><td>2</td>" in page
    assert "<td>100%</td>" in page
    assert "Share of tasks above each fraction" in page


def test_a_run_whose_episodes_were_not_kept_has_no_aggregates(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path, [row()]))
    assert "Over tasks" not in page
    assert "Cost and versions" not in page


def test_the_cost_is_that_of_all_starts(tmp_path: Path) -> None:
    run = make_run(tmp_path, [row()])
    CostMeter(run / "cost.json").write(3000.0, 500, learner_report(tokens=70, seconds=40.0), 0.25)
    CostMeter(run / "cost.json").write(900.0, 100, learner_report(tokens=90, seconds=61.0), 0.5)
    page = page_of(run)
    assert "<td>Environment steps of actors</td><td>600</td>" in page
    assert "<td>Tokens learned</td><td>90</td>" in page
    assert "<td>1 min 1 s</td>" in page
    assert "<td>1 h 5 min, in 2 starts</td>" in page
    assert "<td>0.75 kWh, of processors alone</td>" in page
    assert "python 3." in page


def test_the_page_says_at_a_glance_how_well_it_plays_and_how_that_was_measured(tmp_path: Path) -> None:
    config = "name: small\nevaluation: {temperature: 0.4, prompt_tokens: 0}\n"
    rows = [row("ale/boxing", 0.9, step=300), row("ale/none", None, step=300), row("ale/pong", 0.3, step=200)]
    run = make_run(tmp_path, rows, config)
    for each in rows:
        EpisodeLog(run / "episodes.jsonl").append(TaskResult(each, (4.0, 6.0), None, 700, 3.0))
    CostMeter(run / "cost.json").write(5400.0, 281_244, learner_report(tokens=1_260_000_000, seconds=40.0), None)
    page = page_of(run).replace("\n", " ")
    tiles = re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", page)
    assert [value for value, _ in tiles] == ["0.60", "1 of 2", "1 of 2", "1.26 billion", "281 thousand", "90 min"]
    assert "played 8 times in worlds" in page
    assert "actions sampled at temperature 0.4 and no demonstration" in page
    assert "newest scores are of weights versions 2 to 3" in page
    assert "<td>5 ± 1</td>" in page, "s.e. of 4 and 6"
    assert "without a valid expert: ale/none" in page


def test_a_damaged_cost_is_refused_by_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, [row()])
    (run / "cost.json").write_text("{")
    with pytest.raises(InputError, match=r"cost\.json: damaged"):
        write_report(run)


def test_a_profile_steps_down_at_each_tasks_fraction() -> None:
    results = [TaskResult(row(f"ale/{n}"), (10 * n / 4,) * 2, None, 0, 0.0) for n in (1, 2, 3)]
    svg = profile_svg([("ale", results)])
    drawn = max((line for line in lines(svg, "") if len(line) > 2), key=len)
    heights = sorted({y for _, y in drawn})
    assert len(heights) == 4  # three tasks, three steps down
    assert "ale (3 tasks)" in texts(svg)


def test_curves_of_many_tasks_go_without_bands() -> None:
    few, many = ([row(f"ale/{n}", step=step) for step in (100, 200) for n in range(count)] for count in (8, 9))
    assert learning_curves_svg(few).count("<polygon") == 8
    assert learning_curves_svg(many).count("<polygon") == 0
