"""Line charts of expert-score fractions: labels, bands, and axes."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from gato_dist.plots.curves import draw_few_shot, draw_learning_curves, draw_mean_curves
from gato_dist.plots.figure import spread, to_svg
from tests.gato_dist.plots.helpers import only_axes, row, texts

TUNED, SCRATCH = "fine-tuned", "from scratch"


def test_labels_at_the_ends_of_curves_do_not_overlap():
    rows = [row(f"ale/game-{n}", 0.5, step=step) for step in (100, 200) for n in range(30)]
    root = ElementTree.fromstring(to_svg(draw_learning_curves(rows)))
    found = [text for text in root.iter("{http://www.w3.org/2000/svg}text") if (text.text or "").startswith("ale/")]
    heights = sorted(float(text.get("y")) for text in found)
    assert len(heights) == 30
    assert min(below - above for above, below in pairwise(heights)) >= 12.9
    assert heights[-1] < float(root.get("height").removesuffix("pt"))


def test_crowded_labels_stay_within_the_axis():
    assert spread([5, 5, 5, 9.8], gap=1, low=0, high=10) == [5, 6, 7, 9.8]
    assert spread([9, 9.5, 10], gap=1, low=0, high=10) == [8, 9, 10]


@pytest.mark.parametrize(("count", "bands"), [(8, 8), (9, 0)])
def test_more_than_eight_curves_have_no_bands(count, bands):
    figure = draw_learning_curves([row(f"ale/{n}", step=step) for step in (100, 200) for n in range(count)])
    assert len(only_axes(figure).collections) == bands


def test_tasks_without_a_valid_expert_have_no_learning_curve():
    shown = texts(draw_learning_curves([row("ale/a"), row("ale/b", None)]))
    assert "ale/a 0.50" in shown
    assert not any("ale/b" in text for text in shown)


def test_a_mean_curve_is_named_with_its_last_value():
    figure = draw_mean_curves([("one", [(20, 0.5), (10, 0.25)]), ("none", [])], "tokens learned")
    assert {"one 0.50", "tokens learned", "Mean expert-score fraction by tokens learned"} <= set(texts(figure))
    assert not any(text.startswith("none") for text in texts(figure))


def test_mean_curves_without_points_say_so():
    assert any("nothing was recorded" in text for text in texts(draw_mean_curves([("one", [])], "learner step")))


def test_the_few_shot_picture_has_every_series_as_a_dot_and_a_line_through_the_means():
    figure = draw_few_shot("suite/task", {TUNED: {1: [0.1, 0.2], 100: [0.9, 0.7]}, SCRATCH: {1: [0.0, 0.0]}})
    lines = [
        line for line in only_axes(figure).lines if len(line.get_xdata()) and line.get_label().startswith("_child")
    ]
    dots = [line for line in lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == 6
    (mean,) = [line for line in lines if line.get_marker() == "None" and list(line.get_xdata()) == [1, 100]]
    assert np.asarray(mean.get_ydata()) == pytest.approx([0.15, 0.8])
    shown = texts(figure)
    assert {TUNED, SCRATCH, "100", "training episodes (logarithmic)"} <= set(shown)
    assert any("suite/task" in text for text in shown)


def test_a_few_shot_picture_without_points_can_be_drawn():
    ElementTree.fromstring(to_svg(draw_few_shot("suite/task", {TUNED: {}, SCRATCH: {}})))
