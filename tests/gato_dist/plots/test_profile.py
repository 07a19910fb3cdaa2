"""Performance profiles: the steps of a line, its legend, and the picture for TensorBoard."""

import numpy as np

from gato_dist.plots.profile import draw_profiles, profile_image
from gato_dist.scores.results import TaskResult
from tests.gato_dist.plots.helpers import only_axes, row, texts


def result(task: str, fraction: float) -> TaskResult:
    return TaskResult(row=row(task), returns=(10 * fraction,) * 2, successes=None, tokens=0, seconds=0.0)


def test_a_profile_steps_down_at_each_tasks_fraction():
    figure = draw_profiles([("ale", [result(f"ale/{n}", n / 4) for n in (1, 2, 3)])])
    (line,) = [line for line in only_axes(figure).lines if line.get_drawstyle() == "steps-post"]
    assert sorted(set(np.round(line.get_ydata(), 6))) == [0.0, 0.333333, 0.666667, 1.0]
    assert "ale (3 tasks)" in texts(figure)


def test_only_the_first_of_many_profiles_has_a_band():
    for count, bands in ((3, 3), (4, 1)):
        figure = draw_profiles([(f"run {i}", [result("ale/a", 0.5)]) for i in range(count)])
        assert len(only_axes(figure).collections) == bands


def test_a_profile_without_a_valid_expert_says_so():
    nothing = TaskResult(row=row(fraction=None), returns=(1.0,), successes=None, tokens=0, seconds=0.0)
    assert "Share of tasks above each fraction: no task has a valid expert" in texts(draw_profiles([("x", [nothing])]))


def test_the_picture_for_tensorboard_has_the_documented_shape_and_shows_the_line():
    picture = profile_image([result("ale/a", 0.5)])
    assert (picture.shape, picture.dtype) == ((360, 560, 3), np.uint8)
    blue = (picture[..., 2].astype(int) - picture[..., 0] > 100).sum()
    assert blue > 300
