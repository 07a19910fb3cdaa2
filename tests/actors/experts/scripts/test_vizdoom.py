"""VizDoom's scripts on synthetic frames in the game's colours."""

import numpy as np
import pytest

from actors.evaluate import evaluate_expert
from actors.experts.scripts.vizdoom import (
    CORRIDOR_FORWARD,
    CORRIDOR_SHOOT,
    FORWARD,
    LEFT,
    RIGHT,
    SHOOT,
    VizdoomScript,
    column_runs,
    medikit,
    nearest_monster,
)
from gato_dist.scores.references import load_reference

WALL, FLOOR, SKY, BOX = (112, 90, 70), (80, 80, 80), (1, 1, 32), (200, 200, 200)
PINK, BLUE, IMP = (165, 65, 65), (17, 16, 78), (48, 28, 18)


def arena(*things: tuple[tuple[int, int, int], slice, slice]) -> np.ndarray:
    """uint8 [1, 64, 80, 3]: sky, a wall down to the horizon, a floor, and things: colour, rows, columns."""
    frame = np.zeros((1, 64, 80, 3), np.uint8)
    frame[:, :20], frame[:, 20:34], frame[:, 34:] = SKY, WALL, FLOOR
    for colour, rows, columns in things:
        frame[0, rows, columns] = colour
    return frame


def choose(scenario: str, frame: np.ndarray, skip: int = 0) -> int:
    script = VizdoomScript(scenario, 1)
    for _ in range(skip):
        script.label({"image": frame}, np.ones(1, bool))
    return int(script.label({"image": frame}, np.ones(1, bool))[0])


def at(column: int, width: int = 3) -> slice:
    return slice(column - width // 2, column - width // 2 + width)


def test_column_runs_bridge_gaps_of_one_column_only():
    columns = np.zeros(20, bool)
    columns[[2, 3, 5, 8, 9]] = True
    assert column_runs(columns) == [(3.5, 4), (8.5, 2)]
    assert nearest_monster(columns) == (3.5, 4)
    assert nearest_monster(np.zeros(20, bool)) is None


@pytest.mark.parametrize(("column", "action"), [(40, SHOOT), (60, RIGHT), (20, LEFT)])
@pytest.mark.parametrize("colour", [PINK, (42, 41, 40)])
def test_defend_the_center_turns_to_a_monster_and_shoots_it_in_the_middle(colour, column, action):
    assert choose("DefendTheCenter-v1", arena((colour, slice(29, 36), at(column)))) == action


def test_defend_the_center_does_not_shoot_without_a_monster():
    lying = arena((PINK, slice(38, 42), at(40)))
    assert choose("DefendTheCenter-v1", lying) == choose("DefendTheCenter-v1", arena()) == RIGHT


def test_the_nearer_of_two_monsters_is_the_target():
    two = arena((PINK, slice(24, 44), at(60, 9)), (IMP, slice(29, 36), at(40)))
    assert choose("DefendTheLine-v1", two) == SHOOT + RIGHT
    assert choose("DefendTheLine-v1", arena((IMP, slice(29, 36), at(40)))) == SHOOT


def test_deadly_corridor_walks_on_when_no_soldier_is_left():
    assert choose("DeadlyCorridor-v1", arena((BLUE, slice(30, 34), at(10)))) == CORRIDOR_SHOOT + LEFT
    assert choose("DeadlyCorridor-v1", arena((BLUE, slice(30, 34), at(40)))) == CORRIDOR_SHOOT
    assert choose("DeadlyCorridor-v1", arena()) == CORRIDOR_FORWARD


def test_basic_shoots_in_every_fourth_step():
    frame = arena((BLUE, slice(30, 36), at(60)))
    assert [choose("Basic-v1", frame, skip) for skip in range(5)] == [SHOOT + RIGHT, RIGHT, RIGHT, RIGHT, SHOOT + RIGHT]


def test_frames_are_counted_for_each_environment_from_its_reset():
    script, frames = VizdoomScript("Basic-v1", 2), {"image": np.repeat(arena(), 2, axis=0)}
    script.act(frames, {}, np.array([True, True]))
    script.reset(np.array([1]))
    assert script.label(frames, np.ones(2, bool)).tolist() == [RIGHT, SHOOT + RIGHT]


def test_gathering_walks_to_boxes_and_not_to_bottles():
    box, bottle = (BOX, slice(40, 45), at(60, 9)), (BOX, slice(40, 48), at(30, 3))
    assert medikit(arena(box)[0].astype(np.int16)) == 60
    assert medikit(arena(bottle)[0].astype(np.int16)) is None
    assert choose("HealthGatheringSupreme-v1", arena(box, bottle)) == FORWARD + RIGHT
    assert choose("HealthGathering-v1", arena((BOX, slice(40, 45), at(40, 9)))) == FORWARD
    assert choose("HealthGathering-v1", arena(bottle)) == FORWARD


def test_gathering_turns_away_from_walls_with_bright_spots():
    wall = arena((WALL, slice(0, 64), slice(0, 80)), (BOX, slice(40, 45), at(60, 9)))
    assert choose("D1Basic-v1", wall) == RIGHT


def test_a_scenario_without_a_script_is_refused_by_name():
    with pytest.raises(ValueError, match=r"TakeCover-v1.*Basic-v1"):
        VizdoomScript("TakeCover-v1", 1)


def test_gathering_survives_longer_than_random_actions():
    played = evaluate_expert("vizdoom/health-gathering", 2, seed=3)
    reference = load_reference("vizdoom/health-gathering")
    assert min(episode.episode_return for episode in played) > reference.random.mean + 3 * reference.random.std
    assert {episode.provenance.policy_hash for episode in played} == {reference.expert.policy_hash}
