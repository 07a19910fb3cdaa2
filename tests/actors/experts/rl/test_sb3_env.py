"""The environments that stable-baselines3 gets: every step of every episode once, with the right end."""

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from actors.experts.rl.preprocess import FrameStack, Preprocessing, RunningStatistics
from actors.experts.rl.sb3_env import ExpertVecEnv, SeparateEnvs, make_restartable
from gato_dist.envs.envpool_vector import EnvpoolVector
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from tests.support.fakes import CountingEnv

COUNTER = TaskSpec(
    "toy/counter",
    (ObservationSpec("light", Modality.CONTINUOUS, ()),),
    ActionSpec(Modality.DISCRETE, num_values=(2,)),
    max_steps=20,
)
POLE = TaskSpec(
    "toy/pole",
    (ObservationSpec("state", Modality.CONTINUOUS, (4,)),),
    ActionSpec(Modality.DISCRETE, num_values=(2,)),
    max_steps=15,
)


def counters(lengths: list[int], rule: Preprocessing) -> ExpertVecEnv:
    return ExpertVecEnv(SeparateEnvs([CountingEnv(COUNTER, [length]) for length in lengths]), rule)


def test_a_done_environment_restarts_in_the_same_step_while_others_wait():
    env = counters([3, 5], Preprocessing("flat"))
    seen, ended = [env.reset()[:, 0].tolist()], []
    for _ in range(15):
        observation, rewards, done, infos = env.step(np.zeros(2, int))
        assert rewards.tolist() == [1, 1], "the reset step's reward is nobody's"
        seen.append(observation[:, 0].tolist())
        ended += [(i, infos[i]["terminal_observation"].tolist()) for i in np.flatnonzero(done)]
    assert [row[0] for row in seen] == [0, 1, 2] * 5 + [0]
    assert [row[1] for row in seen] == [0, 1, 2, 3, 4] * 3 + [0]
    assert ended.count((0, [3.0])) == 5
    assert ended.count((1, [5.0])) == 3
    assert sorted(env.recent) == [(3, 3)] * 5 + [(5, 5)] * 3


def test_frame_stacks_begin_with_zeros_in_every_episode():
    env = counters([3], Preprocessing("flat", stack=3))
    env.reset()
    steps = [env.step(np.zeros(1, int)) for _ in range(4)]
    assert steps[1][0].tolist() == [[0, 1, 2]]
    assert steps[2][3][0]["terminal_observation"].tolist() == [1, 2, 3]
    assert steps[2][0].tolist() == [[0, 0, 0]]
    assert steps[3][0].tolist() == [[0, 0, 1]]


def test_envpool_restarts_some_environments_while_others_wait():
    """Pole balancing ends by itself (a fallen pole) or is cut: both, in environments that end at different times."""
    pool = EnvpoolVector(
        "CartPole-v1",
        POLE,
        [1, 2, 3, 4],
        2,
        options={"max_episode_steps": POLE.max_steps},
        adapt=lambda x: {"state": x},
    )
    env, rng = ExpertVecEnv(pool, Preprocessing("flat")), np.random.default_rng(0)
    env.reset()
    taken, cuts, falls, total = 0, 0, 0, np.zeros(4)
    for _ in range(200):
        observation, rewards, done, infos = env.step(rng.integers(2, size=4))
        taken, total = taken + 4, total + rewards
        for i in np.flatnonzero(done):
            last = infos[i]["terminal_observation"]
            fallen = bool(abs(last[0]) > 2.4 or abs(last[2]) > 0.2095)
            # A pole that falls in the very last step counts as cut, says envpool.
            assert infos[i]["TimeLimit.truncated"] != fallen or env.recent[-1][1] == POLE.max_steps
            assert np.abs(observation[i]).max() <= 0.05, "the next episode's first observation"
            cuts, falls = cuts + (not fallen), falls + fallen
    env.close()
    assert cuts > 5
    assert falls > 5
    assert total.sum() == taken, "every step was rewarded with 1: none of them was a reset"
    assert all(total == length for total, length in env.recent)
    assert taken - 4 * POLE.max_steps <= sum(length for _, length in env.recent) <= taken


def test_the_suites_restart_environments_one_by_one():
    env = make_restartable("dm_control/cartpole-balance", [1, 2, 3], max_steps=50)
    env.reset()
    before = env.step(np.zeros((3, 1)))
    first = env.restart(np.array([0, 2]))
    assert first.observations["position"].shape == (2, 3)
    after = env.step(np.zeros((3, 1)))
    env.close()
    assert (before.info["elapsed_step"].tolist(), after.info["elapsed_step"].tolist()) == ([1] * 3, [1, 2, 1])


def test_running_statistics_equal_those_of_all_values():
    values = np.random.default_rng(0).normal(3, 2, size=(60, 4))
    statistics = RunningStatistics.of_size(4)
    for part in np.split(values, 6):
        statistics.update(part)
    np.testing.assert_allclose(statistics.mean, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.variance, values.var(0), rtol=1e-6)


def test_a_stack_keeps_environments_apart():
    stack = FrameStack(2, 2)
    stack.push(np.array([[1], [10]]))
    stack.begin(np.array([1]))
    assert stack.push(np.array([[20]]), np.array([1])).tolist() == [[0, 20]]
    assert stack.push(np.array([[2], [21]])).tolist() == [[1, 2], [20, 21]]
