"""The control planner: its states, rewards and plans agree with envpool."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from actors.experts.demonstrator import policy_provenance
from actors.experts.planners.control_tasks.spec import ControlTask, Trajectory
from actors.experts.planners.dm_control import (
    TASKS,
    ControlPlanner,
    Simulator,
    improve,
    noise_scales,
    shifted,
    spline_basis,
    weighted_plan,
)
from gato_dist.envs.envpool_vector import import_envpool
from gato_dist.scores.references import load_reference
from gato_dist.tasks import match_tasks, task_entry

pytest.importorskip("dm_control")
pytest.importorskip("envpool")

ALL = np.ones(1, bool)


def make_env(task: str, seed: int = 3, num_envs: int = 1) -> Any:
    return import_envpool().make_gymnasium(task, num_envs=num_envs, num_threads=1, seed=seed)


def row(observation: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: value[0] for key, value in observation.items()}


def play(task: str, steps: int, seed: int, **budget: Any) -> tuple[np.ndarray, float]:
    """Actions [steps, A] and return of one planned episode's beginning."""
    env, planner = make_env(task, seed), ControlPlanner(task, 1, seed, **budget)
    observation, info = env.reset()
    actions, total = [], 0.0
    for _ in range(steps):
        actions.append(planner.act(observation, info, ALL)[0])
        observation, reward, _, _, info = env.step(actions[-1][None].astype(np.float64))
        total += float(reward[0])
    return np.array(actions), total


def play_random(task: str, steps: int, seed: int) -> float:
    env, random = make_env(task, seed), np.random.default_rng(seed)
    env.reset()
    return sum(float(env.step(random.uniform(-1, 1, (1, *env.action_space.shape)))[1][0]) for _ in range(steps))


def assert_agrees(spec: ControlTask, trajectory: Trajectory, observation: dict[str, np.ndarray], reward: float) -> None:
    """Compares the simulator's first state with the observation that envpool gave for the same action."""
    after = spec.rebuild(row(observation))
    qpos, seen = np.delete(trajectory.qpos[0, 0], spec.hidden), np.delete(after.qpos, spec.hidden)
    np.testing.assert_allclose(np.exp(1j * qpos), np.exp(1j * seen), atol=1e-5)
    np.testing.assert_allclose(trajectory.qvel[0, 0], after.qvel, atol=1e-3)
    np.testing.assert_allclose(trajectory.target, after.target, atol=1e-9)
    assert spec.reward(trajectory)[0, 0] == pytest.approx(reward, abs=1e-5)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_rebuilt_state_predicts_the_next_observation_and_its_reward(task: str) -> None:
    env, spec, random = make_env(task), TASKS[task], np.random.default_rng(0)
    simulator = Simulator(spec)
    observation, _ = env.reset()
    for _ in range(40):
        state = spec.rebuild(row(observation))
        action = random.uniform(-1, 1, (1, 1, simulator.model.nu))
        trajectory = simulator.rollout(state, action)
        observation, reward, _, _, _ = env.step(action[0])
        assert_agrees(spec, trajectory, observation, reward[0])


# Where random actions earn next to nothing, the planner's first steps do: (seed, steps) in which it reaches the goal.
GOALS = {
    "BallInCupCatch-v1": (3, 60),
    "CartpoleBalanceSparse-v1": (3, 10),
    "HopperStand-v1": (1034, 40),
    "PendulumSwingup-v1": (3, 350),
    "PointMassEasy-v1": (3, 150),
    "ReacherEasy-v1": (3, 60),
    "ReacherHard-v1": (3, 60),
    "WalkerWalk-v1": (1017, 40),
}
FINGERS = {"FingerSpin-v1": (3, 80), "FingerTurnEasy-v1": (1017, 20), "FingerTurnHard-v1": (1017, 60)}


@pytest.mark.parametrize("task", sorted(GOALS))
def test_state_and_reward_also_agree_at_the_goal(task: str) -> None:
    seed, steps = GOALS[task]
    env, planner, spec = make_env(task, seed), ControlPlanner(task, 1, 0), TASKS[task]
    simulator, rewards = Simulator(spec), []
    observation, info = env.reset()
    for _ in range(steps):
        action = planner.act(observation, info, ALL).astype(np.float64)
        trajectory = simulator.rollout(spec.rebuild(row(observation)), action[None])
        observation, reward, _, _, info = env.step(action)
        assert_agrees(spec, trajectory, observation, reward[0])
        rewards.append(reward[0])
    assert max(rewards) > 0.5


@pytest.mark.parametrize("task", sorted(FINGERS))
def test_the_reward_agrees_in_contact_although_the_contact_differs_slightly(task: str) -> None:
    seed, steps = FINGERS[task]
    env, spec, rewards, errors = make_env(task, seed), TASKS[task], [], []
    planner, simulator = ControlPlanner(task, 1, 0, samples=32), Simulator(spec)
    observation, info = env.reset()
    for _ in range(steps):
        action = planner.act(observation, info, ALL).astype(np.float64)
        predicted = simulator.rollout(spec.rebuild(row(observation)), action[None]).qvel[0, 0]
        observation, reward, _, _, info = env.step(action)
        after = spec.rebuild(row(observation))
        assert spec.reward(Trajectory(after.qpos, after.qvel, {}, action[0], after.target)) == reward[0]
        rewards.append(reward[0])
        errors.append(np.abs(predicted - after.qvel).max())
    assert max(rewards) == 1
    assert np.median(errors) < 0.05


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_same_seed_gives_the_same_actions_within_bounds(task: str) -> None:
    first, _ = play(task, 20, seed=5, samples=8)
    again, _ = play(task, 20, seed=5, samples=8)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first).max() <= 1


def test_the_planner_beats_random_actions_on_a_short_episode() -> None:
    steps, seeds = 100, (7, 8, 9)
    planned = np.mean([play("ReacherEasy-v1", steps, seed)[1] for seed in seeds])
    random = np.mean([play_random("ReacherEasy-v1", steps, seed) for seed in seeds])
    assert planned > random + 40


def test_inactive_environments_are_not_planned_and_environments_are_independent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = make_env("ReacherEasy-v1", num_envs=2)
    observation, info = env.reset()
    both = ControlPlanner("ReacherEasy-v1", 2, 0).act(observation, info, np.array([True, True]))
    planner = ControlPlanner("ReacherEasy-v1", 2, 0)
    only = planner.act(observation, info, np.array([False, True]))
    np.testing.assert_array_equal(only[1], both[1])
    monkeypatch.setattr(planner, "_replan", None)
    assert not planner.act(observation, info, np.array([False, False])).any()


def test_reset_forgets_the_plan() -> None:
    env, planner = make_env("ReacherEasy-v1"), ControlPlanner("ReacherEasy-v1", 1, 0)
    observation, info = env.reset()
    planner.act(observation, info, ALL)
    assert planner._plans.any()
    planner.reset(np.array([0]))
    assert not planner._plans.any()


def test_improving_a_plan_raises_its_objective() -> None:
    spec = dataclasses.replace(TASKS["ReacherEasy-v1"], samples=64)
    simulator, basis = Simulator(spec), spline_basis(spec.knots, spec.horizon)
    state = spec.rebuild(row(make_env("ReacherEasy-v1").reset()[0]))
    random = np.random.default_rng(0)

    def worth(plan: np.ndarray) -> float:
        controls = (basis @ plan)[None]
        return float(spec.objective(simulator.rollout(state, controls)).sum())

    plan = np.zeros((spec.knots, 2))
    better = improve(spec, simulator, state, plan, random.standard_normal((64, spec.knots, 2)), basis)
    assert worth(better) > worth(plan)


def test_spline_weights_sum_to_one_and_a_shift_moves_the_plan_in_time() -> None:
    basis = spline_basis(knots=3, horizon=5)
    np.testing.assert_allclose(basis.sum(axis=1), 1)
    np.testing.assert_allclose(shifted(np.array([[0.0], [1.0], [2.0]]), basis, steps=2)[:, 0], [1, 2, 2])


def test_equal_returns_weigh_equally_and_a_cold_temperature_picks_the_best() -> None:
    plans = np.array([[0.0], [1.0]])
    assert weighted_plan(plans, np.array([5.0, 5.0]), 0.1) == pytest.approx(0.5)
    assert weighted_plan(plans, np.array([0.0, 5.0]), 0.01) == pytest.approx(1.0)


def test_the_description_is_json_and_includes_the_budget() -> None:
    import json

    few, many = (ControlPlanner("ReacherEasy-v1", 1, 0, samples=samples).describe() for samples in (8, 16))
    assert json.dumps(few) != json.dumps(many)
    assert few["kind"] == "planner"


def test_unknown_tasks_and_impossible_budgets_are_refused() -> None:
    with pytest.raises(ValueError, match="CartpoleSwingup-v1"):
        ControlPlanner("DogRun-v1", 1, 0)
    with pytest.raises(ValueError, match="replan_every"):
        ControlPlanner("ReacherEasy-v1", 1, 0, replan_every=0)


def planned_tasks() -> list[str]:
    """Names of the suite's tasks that the task table leaves to the planner."""
    return [name for name in match_tasks("dm_control/*") if task_entry(name).expert == "planner"]


def test_the_task_table_lists_the_planner_for_exactly_its_tasks() -> None:
    assert {task_entry(name).env for name in planned_tasks()} == set(TASKS)


@pytest.mark.parametrize("name", planned_tasks())
def test_the_shipped_reference_has_the_current_budget(name: str) -> None:
    planner, reference = ControlPlanner(task_entry(name).env, 1, 0), load_reference(name)
    assert policy_provenance(name, planner).policy_hash == reference.expert.policy_hash
    assert reference.expert.mean > reference.random.mean + reference.random.std


def test_unused_fields_do_not_change_the_description() -> None:
    described = TASKS["CartpoleSwingup-v1"].describe()
    assert described["rebuild"] == "rebuild_cartpole"
    assert "adapt" not in described
    assert "calmest" not in described


def test_perturbations_range_from_calmest_to_noise() -> None:
    task = dataclasses.replace(TASKS["ReacherEasy-v1"], samples=3, noise=0.8, calmest=0.25)
    np.testing.assert_allclose(noise_scales(task), [0.2, 0.4, 0.8])


def test_scalars_without_bounds_have_a_specification() -> None:
    walker = import_envpool().make_spec("WalkerWalk-v1").gymnasium_observation_space
    assert walker["height"].shape == ()
