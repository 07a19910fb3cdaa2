"""Who sees whom in the model, and that decoding is the model."""

import numpy as np
import pytest
import torch

from gato_dist.config import ModelConfig
from gato_dist.kinds import Kind
from gato_dist.model.decode import ActionDecoder
from gato_dist.model.gato import Gato, Inputs
from gato_dist.sequence import collate
from gato_dist.tokens.packing import Packer
from tests.fakes import ARM, arm_actions, arm_observations, tokenizer_of

SMALL = {"width": 32, "layers": 2, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}


def make_model(**keys) -> Gato:
    torch.manual_seed(0)
    return Gato(ModelConfig(**SMALL | keys), tokenizer_of(ARM).vocabulary.size, 4).eval()


def make_inputs(window: int = 3, steps: int = 9) -> Inputs:
    tokenizer = tokenizer_of(ARM)
    packer = Packer(tokenizer, 96, window, 0)
    packer.add(tokenizer.encode(arm_observations(steps), arm_actions(steps)))
    rows = packer.flush()
    assert rows is not None
    return Inputs.of(collate([(0, rows)], 4))


def changed(model: Gato, inputs: Inputs, row: int, position: int) -> set[int]:
    """Positions of `row` whose hidden state moves when the token at `position` is another."""
    with torch.inference_mode():
        before = model(inputs)
        inputs.token[row, position] += 1
        after = model(inputs)
    return set((before[row] - after[row]).abs().amax(-1).gt(1e-6).nonzero().flatten().tolist())


def test_changing_an_action_changes_only_what_comes_after_it():
    inputs = make_inputs()
    position = int(inputs.loss_mask[0].nonzero()[0])
    assert min(changed(make_model(), inputs, 0, position)) == position


def test_segments_do_not_see_one_another():
    inputs = make_inputs(window=1)
    position = int(inputs.loss_mask[0].nonzero()[0])
    segment = inputs.segment[0, position]
    moved = changed(make_model(), inputs, 0, position)
    assert moved
    assert all(inputs.segment[0, p] == segment for p in moved)


def test_masked_past_actions_are_seen_in_their_own_step_alone():
    inputs = make_inputs(window=3)
    position = int(inputs.loss_mask[0].nonzero()[0])
    place = (inputs.segment[0, position], inputs.step[0, position])
    moved = changed(make_model(past_actions="masked"), inputs, 0, position)
    assert moved
    assert all((inputs.segment[0, p], inputs.step[0, p]) == place for p in moved)


def test_patch_places_vary_between_training_passes_and_not_between_evaluations():
    model, inputs = make_model(), make_inputs()
    with torch.inference_mode():
        assert torch.equal(model(inputs), model(inputs))
        model.train()
        assert not torch.equal(model(inputs), model(inputs))


def test_every_observation_part_reaches_the_action():
    model = make_model()
    with torch.inference_mode():
        before = model(make_inputs())
        for name in ("patches", "tensors"):
            inputs = make_inputs()
            getattr(inputs, name)[:] = 1
            assert not torch.allclose(before[inputs.loss_mask], model(inputs)[inputs.loss_mask])


@pytest.mark.parametrize("past_actions", ["shown", "masked"])
@pytest.mark.parametrize("window", [1, 3])
def test_decoded_actions_are_the_models_own_argmax(past_actions, window):
    """The decoder's cache, padding and window against one plain pass over the written-out sequence."""
    model, tokenizer = make_model(past_actions=past_actions), tokenizer_of(ARM)
    decoder = ActionDecoder(model, tokenizer, window, 0.0, seeds=[0, 1])
    steps, offset = 6, tokenizer.action_offset
    observations = [arm_observations(steps, seed) for seed in (0, 1)]
    done = np.zeros((2, steps, 2))
    for t in range(steps):
        now = {name: [o[name][t] for o in observations] for name in observations[0]}
        now = {name: part if name == "mission" else np.stack(part) for name, part in now.items()}
        done[:, t] = decoder.act(now, np.ones(2, bool))
    for env in range(2):
        for t in range(steps):
            first = max(0, t - window + 1)
            seen = {name: part[first : t + 1] for name, part in observations[env].items()}
            packer = Packer(tokenizer, 96, t - first + 1, 0)
            packer._random = type(
                "NoCut", (), {"integers": lambda self, n: 0, "permutation": lambda self, n: np.arange(n)}
            )()
            packer.add(tokenizer.encode(seen, done[env, first : t + 1]))
            inputs = Inputs.of(collate([(0, packer.flush())], 4))
            where = (inputs.segment[0] >= 0).sum() - 3 + torch.arange(2)
            with torch.inference_mode():
                logits = model.head(model(inputs)[0, where])[:, offset : offset + 1024]
            expected = tokenizer.decode_actions(logits.argmax(-1)[None].numpy() + offset)[0]
            assert done[env, t] == pytest.approx(expected, abs=1e-6)


def test_sampling_reproduces_from_the_environments_seed_whatever_its_batch():
    model, tokenizer = make_model(), tokenizer_of(ARM)
    both = ActionDecoder(model, tokenizer, 1, 1.0, seeds=[5, 9])
    alone = ActionDecoder(model, tokenizer, 1, 1.0, seeds=[9])
    two, one = arm_observations(2), {name: part[1:] for name, part in arm_observations(2).items()}
    for _ in range(3):
        assert np.array_equal(both.act(two, np.ones(2, bool))[1], alone.act(one, np.ones(1, bool))[0])


def test_inactive_environments_cost_no_window():
    decoder = ActionDecoder(make_model(), tokenizer_of(ARM), 3, 0.0, seeds=[0, 1])
    actions = decoder.act(arm_observations(2), np.array([False, True]))
    assert not actions[0].any()
    assert [len(window) for window in decoder._windows] == [0, 1]


def test_only_valid_actions_are_chosen():
    tokenizer = tokenizer_of(ARM)
    model = make_model()
    actions = ActionDecoder(model, tokenizer, 1, 1.0, seeds=list(range(4))).act(arm_observations(4), np.ones(4, bool))
    assert (actions >= np.array(ARM.action.low)).all()
    assert (actions <= np.array(ARM.action.high)).all()
    assert Kind.ACTION_CONTINUOUS > Kind.ACTION
