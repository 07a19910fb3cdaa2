"""DM Control from pixels has the physics, planner and scores of DM Control from state."""

from ctypes.util import find_library

import numpy as np
import pytest

from actors.experts.registry import make_expert
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference
from gato_dist.tasks import task_table

NAMES = sorted(name.split("/")[1] for name in task_table() if name.startswith("dm_control_pixels/"))
STEPS = 5


def reference(task: str):
    try:
        return load_reference(task)
    except InputError:
        return None


def test_references_from_pixels_equal_those_from_state():
    for name in NAMES:
        state, pixels = reference(f"dm_control/{name}"), reference(f"dm_control_pixels/{name}")
        assert (state is None) == (pixels is None), name
        if state and pixels:
            assert (pixels.random, pixels.expert) == (state.random, state.expert), name
            assert not pixels.moments


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_planner_and_random_policy_play_the_same_episode_from_pixels(name):
    if find_library("EGL") is None:
        pytest.skip("MuJoCo draws through EGL: apt-get install libegl1")
    measured = reference(f"dm_control/{name}")
    planned = measured is not None and not measured.expert_is_random
    for kind in ("random", "planner") if planned else ("random",):
        plain = make_expert(f"dm_control/{name}", [21], kind=kind)
        drawn = make_expert(f"dm_control_pixels/{name}", [21], kind=kind)
        one, other = plain.env.reset(), drawn.env.reset()
        active = np.ones(1, bool)
        for _ in range(STEPS):
            actions = plain.policy.act(one.observations, one.info, active)
            np.testing.assert_array_equal(drawn.policy.act(other.observations, other.info, active), actions)
            one, other = plain.env.step(actions), drawn.env.step(actions)
            np.testing.assert_array_equal(other.rewards, one.rewards)
            assert set(other.observations) == {"image"}
            for part, values in one.observations.items():
                np.testing.assert_array_equal(other.info[part], values)
        assert drawn.provenance().policy_hash == plain.provenance().policy_hash
        plain.env.close()
        drawn.env.close()
