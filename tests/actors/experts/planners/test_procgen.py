"""The Procgen planner: shadows that follow envpool, clones, and searches."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from actors.experts.planners.procgen import RIGHT_UP, STAY, FrameMismatch, ProcgenPlanner
from actors.experts.planners.procgen_clones import ProcgenClones
from actors.experts.planners.procgen_search import (
    Exploring,
    ReachedState,
    Repairing,
    Shooting,
    appearance,
    explore,
    held_pairs,
    play_out,
    repair,
    shoot,
    thin,
)
from gato_dist.envs.qt import load_qt5

pytest.importorskip("gym3")
load_qt5()
envpool = pytest.importorskip("envpool")

ALL = np.ones(1, bool)
PIT_LEVEL_SEED = 103000  # envpool's seed: here jumping right without a pause dies


@pytest.fixture(scope="module")
def coinrun() -> ProcgenPlanner:
    return ProcgenPlanner("CoinrunEasy-v0", 1, seed=0)


@pytest.fixture
def bigfish() -> Iterator[ProcgenClones]:
    clones = ProcgenClones("bigfish", 12, level_seed=5)
    yield clones
    clones.close()


def make_env(game: str, seed: int) -> Any:
    return envpool.make_gymnasium(
        game, num_envs=1, num_threads=1, seed=seed, channel_first=False, num_levels=0, start_level=0
    )


def play(planner: ProcgenPlanner, seed: int, steps: int = 1000) -> tuple[list[int], float]:
    """Actions and return of one planned episode, or of its first steps."""
    env = make_env(planner.name, seed)
    frames, info = env.reset()
    planner.reset(np.arange(1))
    actions, total, done = [], 0.0, False
    while not done and len(actions) < steps:
        action = planner.act({"image": frames}, info, ALL)
        frames, reward, terminated, truncated, info = env.step(action)
        actions.append(int(action[0]))
        total += float(reward[0])
        done = bool(terminated[0] or truncated[0])
    return actions, total


def replay(game: str, seed: int, actions: list[int]) -> tuple[float, int]:
    """Return of these actions, and the step at which the episode ended (or their number)."""
    env = make_env(game, seed)
    env.reset()
    total = 0.0
    for step, action in enumerate(actions, start=1):
        _, reward, terminated, truncated, _ = env.step(np.array([action]))
        total += float(reward[0])
        if terminated[0] or truncated[0]:
            return total, step
    return total, len(actions)


@pytest.mark.parametrize("game", ["CoinrunEasy-v0", "PlunderEasy-v0"])
def test_a_shadow_follows_envpool(game: str) -> None:
    env = make_env(game, seed=77)
    frames, info = env.reset()
    shadow = ProcgenClones(game.removesuffix("Easy-v0").lower(), 1, int(info["level_seed"][0]))
    random = np.random.default_rng(0)
    for _ in range(100):
        apart = np.abs(shadow.frame().astype(int) - frames[0]) > 16
        assert apart.mean() < (0.005 if game == "CoinrunEasy-v0" else 1e-9)
        action = random.integers(0, 15, 1)
        frames, reward, terminated, truncated, info = env.step(action)
        rewards, done = shadow.step(action)
        assert rewards[0] == reward[0]
        assert done[0] == (terminated[0] or truncated[0])
        if done[0]:
            break
    shadow.close()


def test_a_loaded_state_continues_like_the_one_that_was_saved(bigfish: ProcgenClones) -> None:
    actions = np.random.default_rng(0).integers(0, 15, (30, bigfish.num))
    state = bigfish.save(0)
    seen = []
    for _ in range(2):
        bigfish.load([state] * bigfish.num)
        seen.append([bigfish.step(action)[0].copy() for action in actions] + [bigfish.frame(3)])
    for first, again in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, again)


def test_the_planner_reaches_the_coin_where_the_default_action_dies(coinrun: ProcgenPlanner) -> None:
    actions, total = play(coinrun, PIT_LEVEL_SEED)
    assert total == 10
    assert replay(coinrun.name, PIT_LEVEL_SEED, [RIGHT_UP] * len(actions))[0] == 0


def test_replaying_the_actions_alone_gives_the_same_episode(coinrun: ProcgenPlanner) -> None:
    actions, total = play(coinrun, PIT_LEVEL_SEED)
    assert replay(coinrun.name, PIT_LEVEL_SEED, actions) == (total, len(actions))


def test_the_plan_depends_on_the_level_and_not_on_the_seed(coinrun: ProcgenPlanner) -> None:
    other = ProcgenPlanner("CoinrunEasy-v0", 1, seed=9)
    assert play(coinrun, PIT_LEVEL_SEED)[0] == play(other, PIT_LEVEL_SEED)[0]


def test_shooting_beats_random_actions_on_a_short_episode() -> None:
    steps, seed = 250, 9300
    planned = play(ProcgenPlanner("PlunderEasy-v0", 1, 0, holds=(8,)), seed, steps)[1]
    random = np.random.default_rng(0).integers(0, 15, steps).tolist()
    assert planned > replay("PlunderEasy-v0", seed, random)[0] + 2


def test_a_frame_mismatch_is_raised_if_another_action_was_taken(coinrun: ProcgenPlanner) -> None:
    env = make_env(coinrun.name, seed=1)
    frames, info = env.reset()
    coinrun.reset(np.arange(1))
    coinrun.act({"image": frames}, info, ALL)

    def stand_still_while_the_shadow_runs() -> None:
        for _ in range(20):
            frames, _, _, _, info = env.step(np.array([STAY]))
            coinrun.act({"image": frames}, info, ALL)

    with pytest.raises(FrameMismatch, match=f"environment 0, level {info['level_seed'][0]}"):
        stand_still_while_the_shadow_runs()
    coinrun.reset(np.arange(1))


def test_inactive_rows_start_no_shadow(coinrun: ProcgenPlanner) -> None:
    frames, info = make_env(coinrun.name, seed=1).reset()
    coinrun.reset(np.arange(1))
    assert coinrun.act({"image": frames}, info, np.zeros(1, bool))[0] == STAY
    assert coinrun._shadows == [None]


def test_pairs_of_held_actions_keep_the_order_that_decides_ties() -> None:
    search = Shooting(actions=(4, 7), holds=(1, 2), horizon=3, commit=1)
    pairs = held_pairs(search)
    assert pairs.shape == (8, 3)
    assert pairs[0].tolist() == [4, 4, 4]
    assert pairs[-1].tolist() == [7, 7, 7]
    assert pairs[1].tolist() == [4, 7, 7]


def test_shooting_commits_to_the_first_plan_among_equals(bigfish: ProcgenClones) -> None:
    search = Shooting(actions=(4, 7), holds=(1, 1, 1), horizon=1, commit=1)
    plans = held_pairs(search)
    assert shoot(bigfish, bigfish.save(), plans, search).tolist() == [4]


def test_repair_keeps_the_default_action_if_nothing_kills_it(coinrun: ProcgenPlanner) -> None:
    walker, clones = coinrun._walker, coinrun._clones
    env = make_env(coinrun.name, 100000)
    level = ProcgenClones("coinrun", 1, int(env.reset()[1]["level_seed"][0]))
    search = coinrun.search
    assert isinstance(search, Repairing)
    plan = repair(clones, walker, level.save(), search)
    assert set(plan) == {RIGHT_UP}
    walker.load([level.save()])
    (end,), (reached,) = play_out(walker, plan[None], search.default, search.limit)
    assert reached
    assert end == len(plan)
    level.close()


def test_the_description_is_json_and_names_the_search(coinrun: ProcgenPlanner) -> None:
    description = coinrun.describe()
    assert description["kind"] == "planner"
    assert json.loads(json.dumps(description))["parameters"]["search"] == "Repairing"


def test_explore_finds_a_shortest_path_through_a_maze() -> None:
    actions, total = play(ProcgenPlanner("MazeEasy-v0", 1, 0), 9300)
    assert total == 10
    assert len(actions) < 60  # a maze has at most 15 × 15 cells, and random play needs hundreds of steps


def test_the_planner_solves_hard_levels() -> None:
    assert play(ProcgenPlanner("MinerHard-v0", 1, 0), 9300, steps=20)[1] >= 1


def test_explore_without_a_reward_moves_to_another_state_each_time(bigfish: ProcgenClones) -> None:
    search = Exploring((1, 7), hold=1, layers=2, width=4, commit=2)
    plans = {tuple(explore(bigfish, bigfish.save(), search, wander)) for wander in range(4)}
    assert len(plans) > 1
    assert all(1 <= len(plan) <= 2 for plan in plans)


def test_coarse_appearances_ignore_small_differences() -> None:
    frame = np.full((64, 64, 3), 100, np.uint8)
    other = frame.copy()
    other[10, 10] += 3
    assert appearance(frame, 4) == appearance(other, 4)
    assert appearance(frame, 1) != appearance(other, 1)


def test_a_wide_layer_is_thinned_evenly() -> None:
    layer = [ReachedState(b"", (number,), b"") for number in range(9)]
    assert [visited.path[0] for visited in thin(layer, 3)] == [0, 4, 8]
    assert thin(layer, 20) == layer


@pytest.mark.parametrize("game", ["BossfightEasy-v0", "CoinrunExtreme-v0"])
def test_a_game_without_a_search_is_refused_by_name(game: str) -> None:
    with pytest.raises(ValueError, match=f"{game}.*coinrun"):
        ProcgenPlanner(game, 1, 0)


def test_an_unknown_budget_key_is_refused() -> None:
    with pytest.raises(TypeError, match="nodes"):
        ProcgenPlanner("CoinrunEasy-v0", 1, 0, nodes=3)
