"""A* plans: shortest on small graphs, and successful in the real environments."""

import numpy as np
import pytest

from actors.evaluate import evaluate_expert
from actors.experts.planners import babyai_bot as bot
from actors.experts.planners.astar import search
from actors.experts.planners.sokoban import AGENT, BOX, TARGET, WALL, SokobanLevel
from actors.experts.registry import make_expert


def grid_of(rows: list[str]) -> np.ndarray:
    fixed = {"#": WALL, ".": TARGET}
    moving = {"@": AGENT, "$": BOX}
    cells = [[(moving.get(c, 0), fixed.get(c, 0)) for c in row] for row in rows]
    return np.array(cells, np.uint8)


def test_search_returns_the_cheapest_path_or_none():
    steps = {"a": [("x", "b", 5), ("y", "c", 1)], "b": [("z", "d", 1)], "c": [("w", "b", 1)], "d": []}
    assert search("a", lambda s: s == "d", steps.__getitem__, lambda s: 0) == ["y", "w", "z"]
    assert search("b", lambda s: s == "a", steps.__getitem__, lambda s: 0) is None
    assert search("a", lambda s: s == "d", steps.__getitem__, lambda s: 0, nodes=1) is None


def test_sokoban_walks_around_a_box_to_push_it_onto_its_target():
    # By hand: from the left of the box to below it takes down and right, then one push up.
    level = SokobanLevel(grid_of(["#####", "# . #", "#@$ #", "#   #", "#####"]))
    assert level.plan(weight=1.0, nodes=100) == [2, 1, 0]


def test_sokoban_finds_no_plan_for_a_box_in_a_corner():
    assert SokobanLevel(grid_of(["#####", "#$ .#", "# @ #", "#####"])).plan(weight=1.0, nodes=1000) is None


def test_a_bot_that_replans_endlessly_fails_only_its_episode(monkeypatch):
    monkeypatch.setattr(bot, "MAX_SEARCHES", 0)
    lost = evaluate_expert("babyai/go-to-local", 2, seed=5)
    assert [episode.success for episode in lost] == [False, False]
    assert {int(episode.actions[-1]) for episode in lost} == {6}
    monkeypatch.undo()
    assert all(episode.success for episode in evaluate_expert("babyai/go-to-local", 2, seed=5))


@pytest.mark.parametrize("task", ["sokoban/boxoban", "minigrid/door-key-6x6", "minigrid/lava-crossing-s9n1"])
def test_planners_solve_the_tasks_that_list_them(task):
    played = evaluate_expert(task, 4, seed=5)
    assert all(episode.success for episode in played)


@pytest.mark.parametrize(
    "task", ["sokoban/boxoban", "minigrid/door-key-6x6", "babyai/go-to-local", "metaworld/reach-v3"]
)
def test_labels_equal_the_experts_actions_and_change_no_plan(task):
    made = make_expert(task, [3, 4])
    step = made.env.reset()
    everyone = np.ones(2, bool)
    made.policy.reset(np.arange(2))
    labels = made.policy.label(step.observations, everyone)
    if task.startswith("babyai"):
        made.policy.reset(np.arange(2))
    assert np.array_equal(labels, made.policy.act(step.observations, step.info, everyone))
    made.env.close()


@pytest.mark.parametrize("task", ["sokoban/boxoban", "minigrid/door-key-6x6", "babyai/go-to-local"])
def test_a_disturbed_expert_still_reaches_the_goal(task):
    made = make_expert(task, [6, 7])
    step, rng = made.env.reset(), np.random.default_rng(0)
    made.policy.reset(np.arange(2))
    active, success = np.ones(2, bool), np.zeros(2, bool)
    for t in range(64):
        actions = made.policy.act(step.observations, step.info, active)
        # Turns and steps only: nothing that cannot be undone.
        done = np.where(t < 6, rng.integers(2, size=2), actions) if not task.startswith("sokoban") else actions
        made.policy.played(done)
        step = made.env.step(done)
        success |= step.success & active
        active &= ~step.done
        if not active.any():
            break
    made.env.close()
    assert success.all()
