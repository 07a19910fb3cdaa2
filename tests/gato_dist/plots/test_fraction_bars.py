"""Bar charts of expert-score fractions: bars, intervals, undefined fractions, and the order of tasks."""

import pytest

from gato_dist.plots.fraction_bars import RunScores, draw_comparison, draw_fraction_bars
from tests.gato_dist.plots.helpers import only_axes, row, texts


def interval_lines(figure) -> list[list[list[float]]]:
    """The two ends of every interval that is drawn."""
    (lines,) = only_axes(figure).collections
    return [path.vertices.tolist() for path in lines.get_paths()]


@pytest.mark.parametrize("fraction", [0.5, -0.4, 1.3])
def test_a_bar_reaches_from_zero_to_its_fraction_and_a_line_spans_the_interval(fraction):
    figure = draw_fraction_bars([row(fraction=fraction, spread=0.2)])
    (bar,) = only_axes(figure).patches
    assert sorted((bar.get_x(), bar.get_x() + bar.get_width())) == pytest.approx(sorted((0.0, fraction)))
    ((start, end),) = interval_lines(figure)
    assert (start[0], end[0]) == pytest.approx((fraction - 0.2, fraction + 0.2))


def test_a_fraction_far_outside_leaves_the_axis_readable_and_is_marked_by_an_arrow():
    figure = draw_fraction_bars([row("ale/pong", -30.0), row("ale/boxing", 0.5)])
    axes = only_axes(figure)
    assert axes.get_xlim() == (-1.0, 1.04)
    assert "−30.00 [−30.10, −29.90]" in texts(figure)
    arrows = {line.get_marker(): len(line.get_xdata()) for line in axes.lines if line.get_marker() in "<>"}
    assert arrows == {"<": 1, ">": 0}


def test_an_undefined_fraction_is_shown_as_no_expert_without_a_bar():
    figure = draw_fraction_bars([row(fraction=None)])
    assert "no expert" in texts(figure)
    assert len(only_axes(figure).patches) == 0


def test_the_last_row_of_a_task_in_the_file_is_its_newest():
    shown = texts(draw_fraction_bars([row(fraction=0.9, step=900), row(fraction=0.3, step=200)]))
    assert "0.30 [0.20, 0.40]" in shown
    assert not any(text.startswith("0.90") for text in shown)


def test_tasks_are_listed_below_their_suite():
    axes = only_axes(draw_fraction_bars([row("ale/pong"), row("babyai/open"), row("ale/boxing")]))
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == ["ale", "pong", "boxing", "babyai", "open"]
    assert [label.get_fontweight() == "bold" for label in labels] == [True, False, False, True, False]


def test_150_tasks_are_all_named_and_their_lines_do_not_overlap():
    figure = draw_fraction_bars([row(f"suite/task-{i}") for i in range(150)])
    assert {f"task-{i}" for i in range(150)} <= set(texts(figure))
    height = figure.get_size_inches()[1] * 72
    assert height / 151 > 19


def test_a_comparison_shows_every_run_of_a_task_with_its_success_rate():
    one = RunScores(name="one", newest={"a/x": row("a/x", 0.6), "a/only": row("a/only")}, successes={"a/x": 0.75})
    two = RunScores(name="two", newest={"a/x": row("a/x", None)}, successes={})
    shown = texts(draw_comparison([one, two]))
    assert {"one", "two", "a/x", "a/only", "0.60, 75% success", "0.50"} <= set(shown)
    assert shown.count("no expert") == 1
    assert shown.count("–") == 1  # a/only was not scored in the second run
