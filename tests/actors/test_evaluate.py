"""Gato plays real environments: reproducibly, and with prompts."""

import numpy as np
import pytest
import torch

from actors.evaluate import Evaluator, demonstration
from actors.gato_policy import GatoPolicy
from gato_dist.config.run_config import parse_config
from gato_dist.model.gato import Gato
from gato_dist.scores.references import load_reference
from gato_dist.training.live import make_tokenizer

pytest.importorskip("envpool")
TASK = "babyai/go-to-red-ball-grey"
CONFIG = {
    "name": "t",
    "tasks": [{"name": TASK, "window_steps": 4}],
    "model": {"width": 32, "layers": 2, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8},
}


def make_parts(**evaluation):
    config = parse_config(CONFIG | {"evaluation": evaluation}, "test")
    tokenizer = make_tokenizer(config, {TASK: load_reference(TASK)})
    torch.manual_seed(0)
    return config, tokenizer, Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)


def actions(evaluator: Evaluator, model: Gato, count: int) -> dict[int, list[int]]:
    """Actions by seed."""
    return {e.provenance.seed: e.actions.tolist() for e in evaluator.play(model, TASK, count, 3)}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_rollout_depends_on_its_seed_but_not_on_the_batch(temperature):
    config, tokenizer, model = make_parts(temperature=temperature)
    evaluator = Evaluator(config, tokenizer)
    five, two = actions(evaluator, model, 5), actions(evaluator, model, 2)
    assert len(five) == 5
    assert {seed: five[seed] for seed in two} == two


def test_a_prompt_is_the_beginning_of_an_experts_episode():
    config, tokenizer, _ = make_parts()
    prompt = demonstration(config.tasks[0], tokenizer.tasks[TASK], 60)
    again = demonstration(config.tasks[0], tokenizer.tasks[TASK], 30)
    assert 30 < prompt.lengths.sum() <= 60
    assert (again.token == prompt.token[: len(again)]).all()


def test_a_prompt_changes_the_actions_and_the_policys_hash():
    # Actions are sampled, because the most likely action of an untrained model is always the same.
    config, tokenizer, model = make_parts(prompt_tokens=60, temperature=1.0)
    plain_config, _, _ = make_parts(temperature=1.0)
    prompted = Evaluator(config, tokenizer).play(model, TASK, 4, 3)
    plain = Evaluator(plain_config, tokenizer).play(model, TASK, 4, 3)
    assert prompted[0].provenance.policy_hash != plain[0].provenance.policy_hash
    assert any(not np.array_equal(a.actions, b.actions) for a, b in zip(prompted, plain, strict=True))


def test_acting_without_active_environments_returns_zeros():
    config, tokenizer, model = make_parts()
    policy = GatoPolicy(
        model,
        tokenizer.tasks[TASK],
        length=128,
        window_steps=4,
        settings=config.evaluation,
        seeds=[1, 2],
        version=0,
    )
    seen = {part.name: np.zeros((2, *part.shape), int) for part in tokenizer.tasks[TASK].spec.observations}
    assert policy.act(seen | {"mission": ["", ""]}, {}, np.zeros(2, bool)).tolist() == [0, 0]
