"""The ALE planner on real emulators, and its search on toy games with known best actions."""

from typing import Any

import numpy as np
import pytest

from actors.experts import registry
from actors.experts.planners.ale import AlePlanner
from actors.experts.planners.ale_emulator import ShadowMismatch
from actors.experts.planners.ale_search import SearchResult, escape, search
from gato_dist.errors import InputError
from gato_dist.tasks import TaskEntry

pytest.importorskip("ale_py")
envpool = pytest.importorskip("envpool")

BOXING = (0, 1, 10, 11, 12, 13)  # NOOP, FIRE, and FIRE while moving up, right, left or down


class Track:
    """A toy on the integers: action 0 stays, 1 moves left, 2 right; `points` pay on arrival, falling below 0 kills."""

    def __init__(self, points: dict[int, float]) -> None:
        self.points = points

    def step(self, state: int, action: int) -> tuple[int, float, bool]:
        position = state + (0, -1, 1)[action]
        moved = position != state
        return position, self.points.get(position, 0.0) if moved else 0.0, position < 0


class Ledge:
    """A toy of three places, −1, 0 and 1: the abyss lies beyond, and a rock falls on 0 with the fourth decision."""

    def step(self, state: tuple[int, int], action: int) -> tuple[tuple[int, int], float, bool]:
        place, time = state[0] + (0, -1, 1)[action], state[1] + 1
        return (place, time), 0.0, abs(place) > 1 or (place == 0 and time == 4)


def make_env(game: str, seed: int, num_envs: int = 1) -> Any:
    return envpool.make_gymnasium(
        f"{game}-v5",
        num_envs=num_envs,
        num_threads=1,
        seed=seed,
        gray_scale=False,
        stack_num=1,
        img_height=64,
        img_width=80,
    )


def shadow_ram(planner: AlePlanner) -> bytes:
    """The RAM of the emulator that follows the first environment."""
    state = planner._episodes[0].state
    assert state is not None
    return state.ram


def play(planner: AlePlanner, env: Any, steps: int) -> tuple[list[int], float]:
    """The first environment's actions and score (points) over at most so many steps."""
    observation, info = env.reset()
    active = np.ones(len(info["ram"]), bool)
    planner.reset(np.flatnonzero(active))
    actions, score = [], 0.0
    for _ in range(steps):
        chosen = planner.act({"image": observation}, info, active)
        observation, reward, terminated, truncated, info = env.step(chosen)
        actions.append(int(chosen[0]))
        score += float(reward[0])
        if terminated[0] or truncated[0]:
            break
    return actions, score


def look_ahead(track: Track, start: int, nodes: int = 100, horizon: int = 10) -> SearchResult:
    return search(track, start, actions=(0, 1, 2), nodes=nodes, discount=0.9, horizon=horizon)


def test_search_holds_the_action_that_scores_soonest_until_it_scores() -> None:
    found = look_ahead(Track({3: 1.0, 8: 5.0}), 5)
    assert (found.action, found.hold) == (1, 2)


def test_search_stays_idle_when_nothing_is_in_reach() -> None:
    assert look_ahead(Track({500: 1.0}), 50, horizon=4).action == 0


def test_search_prefers_survival_to_points() -> None:
    assert look_ahead(Track({-1: 100.0}), 0, horizon=4).action == 0


def test_search_keeps_its_budget_but_tries_every_action_once() -> None:
    assert look_ahead(Track({}), 50, nodes=10, horizon=40).nodes == 9
    assert look_ahead(Track({}), 50, nodes=1, horizon=40).nodes == 3


def test_search_returns_all_equally_good_actions() -> None:
    assert look_ahead(Track({}), 0, horizon=4).equals == (0, 2)  # left is fatal


def test_escape_finds_two_actions_where_every_single_one_is_fatal() -> None:
    assert search(Ledge(), (0, 0), (0, 1, 2), nodes=100, discount=0.9, horizon=8).lost
    way_out = escape(Ledge(), (0, 0), (0, 1, 2), np.random.default_rng(0), attempts=50, horizon=8)
    state: tuple[int, int] = (0, 0)
    for action in way_out:
        state, _, lost = Ledge().step(state, action)
        assert not lost
    assert not search(Ledge(), state, (0, 1, 2), nodes=100, discount=0.9, horizon=8).lost


def test_escape_returns_an_action_even_if_all_pairs_are_fatal() -> None:
    assert escape(Track({}), -5, (1,), np.random.default_rng(0), attempts=3, horizon=4)[0] == 1


@pytest.mark.parametrize("game", ["Boxing", "Freeway"])
def test_shadow_follows_envpool_through_actions_of_another_policy(game: str) -> None:
    env, planner = make_env(game, seed=3), AlePlanner(game, num_envs=1, seed=0, nodes=1)
    draw = np.random.default_rng(0)
    observation, info = env.reset()
    planner.reset(np.array([0]))
    for _ in range(100):
        planner.act({"image": observation}, info, np.array([True]))
        assert shadow_ram(planner) == info["ram"][0].tobytes()
        observation, *_, info = env.step(draw.integers(env.action_space.n, size=1))


def test_shadow_finds_the_second_episode_of_an_environment() -> None:
    env, planner = make_env("Breakout", seed=5), AlePlanner("Breakout", num_envs=1, seed=0, nodes=1)
    draw = np.random.default_rng(0)
    observation, info = env.reset()
    for _ in range(3000):
        observation, _, terminated, _, info = env.step(draw.integers(env.action_space.n, size=1))
        if terminated[0]:
            break
    assert terminated[0]
    observation, *_, info = env.step(np.array([0]))
    planner.reset(np.array([0]))
    for _ in range(20):
        actions = planner.act({"image": observation}, info, np.array([True]))
        assert shadow_ram(planner) == info["ram"][0].tobytes()
        observation, *_, info = env.step(actions)


def test_same_start_gives_the_same_plan() -> None:
    plans = [play(AlePlanner("Pong", 1, seed=0, nodes=30), make_env("Pong", seed=s), 30)[0] for s in (0, 0)]
    assert plans[0] == plans[1]


def test_wandering_depends_on_the_seed_alone() -> None:
    plans = [
        play(AlePlanner("Boxing", 1, seed=s, nodes=1, actions=BOXING, wander=1.0), make_env("Boxing", seed=0), 30)[0]
        for s in (0, 0, 1)
    ]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_a_long_horizon_crosses_the_road_in_freeway() -> None:
    planner = AlePlanner("Freeway", 1, seed=0, nodes=240, horizon=80)
    assert play(planner, make_env("Freeway", seed=3), 90)[1] >= 1


@pytest.mark.parametrize("kind", ["planner", "guided"])
def test_sticky_actions_are_refused_with_the_options_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sticky = TaskEntry("ale/pong", "Pong-v5", {"repeat_action_probability": 0.25}, kind)
    monkeypatch.setattr(registry, "task_entry", lambda _: sticky)
    with pytest.raises(InputError, match=r"ale/pong.*repeat_action_probability=0.25"):
        registry.make_expert("ale/pong", [0])


def test_the_planner_wins_boxing_by_knockout() -> None:
    """Random play ends at 1.4 points (deviation 9) after 1782 decisions; the winning blow must not be avoided."""
    actions, score = play(
        AlePlanner("Boxing", 1, seed=0, nodes=150, horizon=12, actions=BOXING), make_env("Boxing", seed=7), 1700
    )
    assert score >= 90
    assert len(actions) < 1700


def test_inactive_environments_are_not_planned() -> None:
    env, planner = make_env("Pong", seed=1, num_envs=2), AlePlanner("Pong", num_envs=2, seed=0, nodes=6)
    observation, info = env.reset()
    info["ram"][1] = 255  # would raise if it were looked at
    assert planner.act({"image": observation}, info, np.array([True, False])).shape == (2,)


def test_unexplained_ram_raises_an_error_that_names_the_game() -> None:
    env, planner = make_env("Pong", seed=1), AlePlanner("Pong", num_envs=1, seed=0, nodes=6)
    observation, info = env.reset()
    observation, *_, info = env.step(planner.act({"image": observation}, info, np.array([True])))
    info["ram"][0, 10] ^= 0xFF
    with pytest.raises(ShadowMismatch, match="Pong"):
        planner.act({"image": observation}, info, np.array([True]))


def test_starting_in_the_middle_of_an_episode_is_refused() -> None:
    env, planner = make_env("Boxing", seed=1), AlePlanner("Boxing", num_envs=1, seed=0)
    observation, info = env.reset()
    for _ in range(30):
        observation, *_, info = env.step(np.array([3]))
    with pytest.raises(ShadowMismatch, match=r"reset\(\)"):
        planner.act({"image": observation}, info, np.array([True]))


def test_unknown_game_and_bad_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="Tetriss"):
        AlePlanner("Tetriss", num_envs=1, seed=0)
    with pytest.raises(ValueError, match="0 to 5"):
        AlePlanner("Pong", num_envs=1, seed=0, actions=(0, 6))
    with pytest.raises(ValueError, match="discount"):
        AlePlanner("Boxing", num_envs=1, seed=0, discount=0.0)


def test_every_envpool_game_name_has_a_rom() -> None:
    for game in ("TicTacToe3d", "Pitfall2", "SpaceInvaders", "UpNDown"):
        assert AlePlanner(game, num_envs=1, seed=0).describe()["kind"] == "planner"
