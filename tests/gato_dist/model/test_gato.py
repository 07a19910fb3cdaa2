"""The model: which positions attend to which, output positions, dropped actions, stochastic depth."""

import pytest
import torch

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import ModelInputs, OutputPositions
from gato_dist.model.transformer import hidden_actions
from gato_dist.sequence import Kind, collate
from gato_dist.tokens.packing import Packer
from tests.support.fakes import ARM, arm_actions, arm_observations, tokenizer_of

SMALL = {"width": 32, "layers": 2, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}


def make_model(**keys) -> Gato:
    torch.manual_seed(0)
    return Gato(ModelConfig(**SMALL | keys), tokenizer_of(ARM).vocabulary.size, 4).eval()


def make_inputs(window: int = 3, steps: int = 9) -> ModelInputs:
    tokenizer = tokenizer_of(ARM)
    packer = Packer(tokenizer, length=256, window_steps=window, seed=0)
    packer.add(tokenizer.encode(arm_observations(steps), arm_actions(steps)))
    sequences = packer.flush()
    assert sequences is not None
    return ModelInputs.from_batch(collate([(0, sequences)], 4))


def changed(model: Gato, inputs: ModelInputs, row: int, position: int) -> set[int]:
    """Returns the positions of a sequence whose hidden state changes if the token at `position` changes."""
    with torch.inference_mode():
        before = model(inputs)
        inputs.token[row, position] += 1
        after = model(inputs)
    return set((before[row] - after[row]).abs().amax(-1).gt(1e-6).nonzero().flatten().tolist())


def test_changing_an_action_changes_only_later_states():
    inputs = make_inputs()
    position = int(inputs.loss_mask[0].nonzero()[0])
    assert min(changed(make_model(), inputs, 0, position)) == position


def test_segments_do_not_attend_to_each_other():
    inputs = make_inputs(window=1)
    position = int(inputs.loss_mask[0].nonzero()[0])
    segment = inputs.segment[0, position]
    moved = changed(make_model(), inputs, 0, position)
    assert moved
    assert all(inputs.segment[0, p] == segment for p in moved)


def test_masked_past_actions_are_visible_only_in_their_own_step():
    inputs = make_inputs(window=3)
    position = int(inputs.loss_mask[0].nonzero()[0])
    place = (inputs.segment[0, position], inputs.step[0, position])
    moved = changed(make_model(past_actions="masked"), inputs, 0, position)
    assert moved
    assert all((inputs.segment[0, p], inputs.step[0, p]) == place for p in moved)


def test_patch_positions_are_random_in_training_and_fixed_in_evaluation():
    model, inputs = make_model(), make_inputs()
    with torch.inference_mode():
        assert torch.equal(model(inputs), model(inputs))
        model.train()
        assert not torch.equal(model(inputs), model(inputs))


def test_every_observation_part_affects_the_action():
    model = make_model()
    with torch.inference_mode():
        before = model(make_inputs())
        for name in ("patches", "tensors"):
            inputs = make_inputs()
            getattr(inputs, name)[:] = 1
            assert not torch.allclose(before[inputs.loss_mask], model(inputs)[inputs.loss_mask])


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("keys", [{}, {"activation": "geglu"}, {"positions": "learned"}, {"past_actions": "masked"}])
def test_selected_output_positions_equal_those_of_a_full_pass(keys, window):
    model, inputs = make_model(**keys), make_inputs(window)
    with torch.inference_mode():
        wanted = OutputPositions.from_mask(inputs.loss_mask.numpy())
        assert torch.allclose(model(inputs)[inputs.loss_mask], model(inputs, wanted), atol=1e-5)


@pytest.mark.parametrize("past_actions", ["shown", "masked"])
def test_sequences_of_one_segment_need_no_mask(past_actions):
    """Padding comes last, so a causal mask hides it from all other positions."""
    model, inputs = make_model(past_actions=past_actions), make_inputs(window=0)
    assert inputs.one_segment
    assert not make_inputs(window=1).one_segment
    with torch.inference_mode():
        wanted = OutputPositions.from_mask(inputs.loss_mask.numpy())
        short = model(inputs)[inputs.segment >= 0], model(inputs, wanted)
        inputs.one_segment = False
        masked = model(inputs)[inputs.segment >= 0], model(inputs, wanted)
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(short, masked, strict=True))


def test_changing_an_observation_changes_only_later_predictions():
    inputs = make_inputs()
    position = int((inputs.kind[0] == Kind.TEXT).nonzero()[20])
    moved = changed(make_model(), inputs, 0, position)
    assert min(moved) == position
    assert any(inputs.loss_mask[0, p + 1] for p in moved if p + 1 < inputs.token.shape[1])


def test_an_action_does_not_change_its_own_prediction():
    """The logits of an action token come from the position before it."""
    model, inputs = make_model(), make_inputs()
    position = int(inputs.loss_mask[0].nonzero()[4])
    assert position - 1 not in changed(model, inputs, 0, position)


def test_learned_and_rotary_positions_distinguish_orders():
    for kind in ("rotary", "learned"):
        model, inputs = make_model(positions=kind), make_inputs()
        with torch.inference_mode():
            before = model(inputs)
            inputs.position = inputs.position // 2
            assert not torch.allclose(before[inputs.loss_mask], model(inputs)[inputs.loss_mask])


def test_past_actions_are_dropped_at_random_and_as_a_whole():
    config = ModelConfig(**SMALL, past_actions="dropped", past_actions_drop=0.5)
    inputs = make_inputs(window=3, steps=60)
    hidden = hidden_actions(inputs.kind, inputs.local_position, config, training=True)
    pairs = hidden[inputs.kind >= Kind.ACTION].reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    assert 0.2 < pairs.float().mean() < 0.8
    assert not hidden[inputs.kind < Kind.ACTION].any()
    assert hidden_actions(inputs.kind, inputs.local_position, config, training=False) is None


def test_stochastic_depth_is_off_in_evaluation_and_keeps_the_mean_in_training():
    model = make_model(stochastic_depth=0.5, layers=1)
    block = model.transformer.blocks[0].train()
    torch.manual_seed(0)
    branch = torch.ones(4000, 1, 1)
    assert set(block._regularise(branch).unique().tolist()) == {0.0, 2.0}
    assert block._regularise(branch).mean() == pytest.approx(1.0, abs=0.1)
    assert torch.equal(block.eval()._regularise(branch), branch)


def test_a_shared_embedding_is_used_as_output_layer():
    names = [name for name, _ in make_model(shared_embedding=True).named_parameters()]
    assert not any(name.startswith("head") for name in names)
    hidden = torch.randn(2, 32)
    model = make_model(shared_embedding=True)
    assert torch.equal(model.logits(hidden, 3, 5), hidden @ model.embedding.tokens.weight[3:5].T)
