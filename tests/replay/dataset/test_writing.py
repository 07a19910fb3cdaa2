"""What `write_dataset` refuses."""

import numpy as np
import pytest

from gato_dist.errors import InputError
from gato_dist.specs import TaskSpec
from replay.dataset.writing import EpisodeStream, write_dataset
from tests.support.episodes import arm, buttons
from tests.support.fakes import ARM, BUTTONS


def test_values_outside_the_tasks_space_are_refused_by_task_and_episode(tmp_path):
    broken = arm(4, 0)
    broken.observations["pose"][2] = np.nan
    with pytest.raises(InputError, match="toy/arm: episode 1: pose, step 2: nan is not finite"):
        write_dataset(tmp_path / "out", [EpisodeStream(ARM, [arm(3, 1), broken])], "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..", "alone", "../x", "a/..", "a b/c", "/a"])
def test_a_task_name_that_could_be_a_path_is_refused(tmp_path, name):
    spec = TaskSpec(name, BUTTONS.observations, BUTTONS.action, 0)
    with pytest.raises(InputError, match="no name of a task"):
        write_dataset(tmp_path / "out", [EpisodeStream(spec, [buttons(3, 0)])], "", "")
