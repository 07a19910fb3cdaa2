"""The registry of experts: they reach their references, and wrong kinds or options are refused."""

import numpy as np
import pytest

from actors.evaluate import evaluate_expert
from actors.experts.planners.ale_emulator import AleEmulator
from actors.experts.planners.ale_guided import GUIDES, follow_guide, guided_search, pong_guide
from actors.experts.registry import make_demonstrator, make_expert
from actors.rollout import episodes
from gato_dist.config.data_sections import TaskConfig
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference


@pytest.mark.parametrize("task", ["metaworld/drawer-open-v3", "babyai/go-to-red-ball-grey"])
def test_scripts_and_bots_reach_their_reference(task):
    played = evaluate_expert(task, 4, seed=3)
    reference = load_reference(task).expert
    score = np.mean([episode.episode_return for episode in played])
    assert score == pytest.approx(reference.mean, abs=4 * reference.std)
    assert {episode.provenance.policy_hash for episode in played} == {reference.policy_hash}


def test_an_unknown_kind_or_option_names_the_task():
    with pytest.raises(InputError, match=r"metaworld/reach-v3.*'bot'.*scripted"):
        make_expert("metaworld/reach-v3", [0], kind="bot")
    with pytest.raises(InputError, match=r"metaworld/reach-v3.*speed"):
        make_expert("metaworld/reach-v3", [0], options={"speed": 2})


def test_the_guide_keeps_the_paddle_level_with_the_ball():
    def ram(paddle: int, ball: int) -> bytes:
        cells = bytearray(128)
        cells[51], cells[54] = paddle, ball
        return bytes(cells)

    assert pong_guide(ram(100, 0)) == 0
    assert pong_guide(ram(100, 106)) == 0
    assert pong_guide(ram(100, 90)) == 2
    assert pong_guide(ram(100, 130)) == 3


def test_guided_search_never_scores_less_than_its_guide():
    emulator, game = AleEmulator("Pong"), GUIDES["Pong"]
    state = next(iter(emulator._starts.values()))
    for _ in range(6):
        guide = follow_guide(emulator, state, first=[], guide=game.guide, horizon=60)
        plan = guided_search(emulator, state, game, 60)
        assert plan.score >= guide.score
        for action in plan.actions:
            state, _, _ = emulator.step(state, action)


def test_a_disturbed_planner_follows_the_disturbance():
    """The shadow emulator is compared with envpool's RAM in every step, and raises if it differs."""
    config = TaskConfig(name="ale/pong", num_envs=1, demonstration_steps=150, noise=0.3, noise_steps=6)
    made = make_demonstrator(config, [1000], 1)
    episode = next(episodes(made.env, made.policy, made.provenance()))
    made.env.close()
    assert len(episode) == 150
    assert 0.1 < np.mean(episode.actions != episode.targets) < 0.4
