"""Grids of small charts: training scalars, histograms of episodes and of replay."""

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from gato_dist.plots.figure import to_svg
from gato_dist.plots.panels import draw_distributions, draw_replay_histograms, draw_scalars
from tests.gato_dist.plots.helpers import only_axes, texts


def test_only_known_scalars_are_drawn():
    shown = texts(draw_scalars({"learner/loss": [(0, 2.0), (1, 1.0)], "other/tag": [(0, 7.0)]}))
    assert {"Loss", "last 1"} <= set(shown)
    assert not any("tag" in text or "last 7" in text for text in shown)


def test_a_noisy_scalar_is_drawn_as_logged_and_as_its_mean():
    axes = only_axes(draw_scalars({"learner/loss": [(step, step % 2) for step in range(600)]}))
    logged, means = (np.asarray(line.get_ydata()) for line in axes.lines)
    assert (len(logged), len(means)) == (600, 60)
    assert set(logged) == {0.0, 1.0}
    assert means == pytest.approx(0.5)


def test_without_scalars_the_picture_says_that_none_were_recorded():
    assert texts(draw_scalars({})) == ["Loss and throughput were not recorded"]


def test_each_tasks_returns_and_lengths_are_drawn():
    values = np.arange(20.0)
    figure = draw_distributions([(name, values + 3, values + 4) for name in ("toy/arm", "toy/buttons")])
    shown = texts(figure)
    assert {"toy/arm: 20 episodes", "toy/buttons: 20 episodes"} <= set(shown)
    assert [shown.count(text) for text in ("return: mean 12.5", "steps: mean 13.5")] == [2, 2]
    # 20 different values fill 10 bins evenly, in two histograms for each of two tasks.
    histograms = [patch.get_data().values.tolist() for patch in figure.findobj(StepPatch)]
    assert histograms == [[2.0] * 10] * 4


def test_equal_returns_and_returns_that_are_not_finite_are_drawn():
    svg = to_svg(draw_distributions([("toy/arm", np.array([2.0, np.nan, 2.0]), np.array([5, 5, 5]))]))
    assert "return: mean 2" in svg
    assert "nan" not in svg


def test_replay_histograms_show_shares_and_end_at_the_last_bin_in_use():
    figure = draw_replay_histograms({"Age": [("0", 3), ("1", 1), ("2–3", 0)]})
    shown = texts(figure)
    assert {"Age", "75%", "25%", "0", "1"} <= set(shown)
    assert "2–3" not in shown
