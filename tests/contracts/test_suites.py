"""The contract of every suite, `gato_dist.envs.suite.Suite`, on real environments."""

from ctypes.util import find_library
from dataclasses import replace

import numpy as np
import pytest

from actors.experts.registry import find_kind, make_expert
from actors.rollout import episodes
from gato_dist.envs.envpool_vector import channels_last
from gato_dist.envs.pictures import draw_picture
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.envs.suites import procgen
from gato_dist.envs.suites.babyai import _MissionCache
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference
from gato_dist.seeds import dataset_seeds, evaluation_seeds, expert_seeds
from gato_dist.specs import Modality
from gato_dist.tasks import task_entry, task_table
from gato_dist.tokens.step_size import min_step_tokens

TASKS = [
    "ale/pong",
    "ale_extended/tetris",
    "procgen/coinrun",
    "procgen_hard/maze",
    "dm_control/cartpole-swingup",
    "dm_control_pixels/cartpole-swingup",
    "metaworld/reach-v3",
    "metaworld/dial-turn-v3",
    "babyai/go-to-local",
    "minigrid/door-key-5x5",
    "sokoban/boxoban",
    "mujoco/hopper",
    "vizdoom/basic",
    "manipulation/reach-site",
    "gymnasium/CartPole-v1",
]
NOT_DRAWN = ("gymnasium/CartPole-v1", "manipulation/reach-site", "metaworld/dial-turn-v3", "procgen_hard/maze")
STEPS = 40
FIXED_LIMIT = {"procgen/coinrun": 1000, "procgen_hard/maze": 500}


def play(task: str, seeds: list[int], kind: str | None = "random"):
    """One short episode of each seed."""
    if task.startswith("dm_control_pixels") and find_library("EGL") is None:
        pytest.skip("MuJoCo draws through EGL: apt-get install libegl1")
    made = make_expert(task, seeds, kind=kind, max_steps=None if task in FIXED_LIMIT else STEPS)
    played = list(episodes(made.env, made.policy, made.provenance(), once=True))
    made.env.close()
    return sorted(played, key=lambda episode: episode.provenance.seed)


@pytest.mark.parametrize("task", TASKS)
def test_episodes_match_the_tasks_spec(task):
    spec = task_spec(task)
    for episode in play(task, [11, 12, 13]):
        length = len(episode)
        assert 0 < length <= FIXED_LIMIT.get(task, STEPS)
        assert len(episode.actions) == len(episode.targets) == length
        for part in spec.observations:
            values = episode.observations[part.name]
            assert len(values) == length
            if part.modality is Modality.TEXT:
                assert all(isinstance(text, str) and text.isprintable() and text for text in values)
                continue
            assert values.shape[1:] == part.shape
            if part.modality is Modality.IMAGE:
                assert values.dtype == np.uint8
                assert values.std() > 1
            elif part.modality is Modality.DISCRETE:
                assert values.min() >= 0
                assert values.max() < part.num_values
            else:
                assert np.isfinite(values).all()


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_episode(task):
    first, second = play(task, [21, 22]), play(task, [22, 21])
    for one, other in zip(first, second, strict=True):
        assert one.provenance.seed == other.provenance.seed
        assert np.array_equal(one.actions, other.actions)
        assert np.array_equal(one.rewards, other.rewards)
        for name, values in one.observations.items():
            assert np.array_equal(values, other.observations[name])


@pytest.mark.parametrize("task", TASKS)
def test_different_seeds_give_different_episodes(task):
    one, *others = play(task, [31, 32, 33, 34])
    name = task_spec(task).observations[-1].name
    starts = [np.asarray(episode.observations[name][min(10, len(episode) - 1)]) for episode in (one, *others)]
    assert any(not np.array_equal(starts[0], start) for start in starts[1:])


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_at_the_limit_is_truncated_and_not_terminated(task):
    limit = FIXED_LIMIT.get(task, 5)
    env = make_env(task, [41], max_steps=None if task in FIXED_LIMIT else limit)
    env.reset()
    idle = np.full((1, *env.spec.action.shape), 4 if task in FIXED_LIMIT else 0)
    steps = [env.step(idle) for _ in range(limit)]
    env.close()
    assert [step.truncated[0] for step in steps] == [False] * (limit - 1) + [True]
    assert not any(step.terminated[0] for step in steps)


@pytest.mark.parametrize("task", [task for task in TASKS if task not in NOT_DRAWN])
def test_drawing_an_environment_does_not_change_its_episode(task):
    if task.startswith(("dm_control", "metaworld", "mujoco")) and find_library("EGL") is None:
        pytest.skip("MuJoCo draws through EGL: apt-get install libegl1")

    def run(drawn: bool):
        env = make_env(task, [61])
        rng, now, steps, pictures = np.random.default_rng(0), env.reset(), [], []
        for _ in range(8):
            if drawn:
                pictures.append(draw_picture(env, now.observations))
            action = env.spec.action
            if action.num_values:
                now = env.step(rng.integers(action.num_values[0], size=1))
            else:
                now = env.step(rng.uniform(action.low, action.high)[None])
            steps.append((now.rewards, [np.asarray(now.observations[part.name]) for part in env.spec.observations]))
        env.close()
        return steps, pictures

    (plain, _), (drawn, pictures) = run(False), run(True)
    for (reward, parts), (other, others) in zip(plain, drawn, strict=True):
        assert np.array_equal(reward, other)
        assert all(map(np.array_equal, parts, others))
    assert all(picture.dtype == np.uint8 and picture.shape == pictures[0].shape for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[-1])


def test_procgen_refuses_a_limit_that_envpool_would_ignore():
    with pytest.raises(InputError, match="1000 steps"):
        make_env("procgen/coinrun", [0], max_steps=5)


def test_only_tasks_that_report_success_have_it():
    assert play("metaworld/reach-v3", [51])[0].success is False
    assert play("procgen/coinrun", [51])[0].success is None


def test_every_listed_task_has_a_layout_an_expert_and_a_window_that_fits():
    for name, entry in task_table().items():
        spec = task_spec(name)
        assert spec.name == name
        assert spec.observations
        assert spec.action.size > 0
        find_kind(name, entry.expert)
        assert min_step_tokens(spec, "compact") <= 128


def test_every_meta_world_task_has_reference_scores():
    names = [name for name in task_table() if name.startswith("metaworld/")]
    assert len(names) == 50
    scored = [load_reference(name) for name in names]
    assert all(reference.expert.episodes >= 50 and reference.random.episodes >= 50 for reference in scored)


def test_channels_last_equals_a_transpose():
    frames = np.random.default_rng(0).integers(256, size=(2, 3, 4, 5), dtype=np.uint8)
    assert (channels_last(frames) == frames.transpose(0, 2, 3, 1)).all()


def test_a_mission_is_decoded_once_and_returned_lists_do_not_change():
    decoded = []

    def decode(row):
        decoded.append(bytes(row).rstrip(b"\0").decode())
        return decoded[-1]

    def rows(*texts):
        return np.frombuffer(b"".join(text.encode().ljust(16, b"\0") for text in texts), np.uint8).reshape(-1, 16)

    missions = _MissionCache(decode)
    first = missions.read(rows("open a door", "go to a key"), np.array([True, True]))
    second = missions.read(rows("go to a key", "not looked at"), np.array([True, False]))
    assert (first, second) == (["open a door", "go to a key"], ["go to a key"] * 2)
    assert missions.read(rows("open a door", "go to a key"), np.array([True, True])) == first
    assert decoded == ["open a door", "go to a key"]


def first_levels(task: str, seeds: list[int]) -> list:
    env = make_env(task, seeds, 1)
    try:
        first = env.reset()
        return first.info["level_seed"].tolist() if "level_seed" in first.info else list(first.observations["grid"])
    finally:
        env.close()


def test_procgen_evaluation_levels_are_never_demonstrated():
    taught, held_out = (expert_seeds(1, 0, 16) + dataset_seeds(0, 16), evaluation_seeds(32))
    assert max(first_levels("procgen/coinrun", taught)) < 2**30 <= min(first_levels("procgen/coinrun", held_out))


def test_limits_of_procgen_levels_do_not_apply_to_evaluation(tmp_path):
    entry = replace(task_entry("procgen/coinrun"), options={"num_levels": 200})
    assert procgen.level_range(entry, 5) == {"start_level": 0, "num_levels": 200}
    assert procgen.level_range(entry, evaluation_seeds(1)[0]) == procgen.HELD_OUT_LEVELS
    with pytest.raises(InputError, match="held out"):
        procgen.level_range(replace(entry, options={"num_levels": 200, "start_level": 2**30}), 5)


def test_sokoban_evaluation_levels_are_never_demonstrated(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    taught, held_out = (
        {grid[..., 1].tobytes() for grid in first_levels("sokoban/boxoban", seeds)}
        for seeds in (expert_seeds(1, 0, 500), evaluation_seeds(500))
    )
    assert not taught & held_out
    assert len(taught) > 300
    assert 80 < len(held_out) <= 100
