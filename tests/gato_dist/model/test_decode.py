"""DecodingOptions with a cache equals plain forward passes, in any batch, before and after a window slides."""

import numpy as np
import pytest
import torch

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.decode import ActionDecoder, DecodingOptions
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import ModelInputs
from gato_dist.sequence import collate
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.steps import StepTokens
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations, tokenizer_of

SMALL = {"width": 32, "layers": 2, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}
LENGTH = 96
ARM_TOKENS, BUTTONS_TOKENS = tokenizer_of(ARM), tokenizer_of(BUTTONS)


def make_model(**keys) -> Gato:
    torch.manual_seed(0)
    return Gato(ModelConfig(**SMALL | keys), ARM_TOKENS.vocabulary.size, 4).eval()


def make_decoder(model: Gato, window: int = 0, slots: int = 1, **decoding) -> ActionDecoder:
    settings = DecodingOptions(**{"length": LENGTH} | decoding)
    return ActionDecoder(
        model,
        tokenizers=[ARM_TOKENS] * slots,
        window_steps=[window] * slots,
        seeds=list(range(slots)),
        options=settings,
    )


def arm_steps(count: int, seed: int = 0) -> list[StepTokens]:
    """Returns the observations of `count` steps, one by one."""
    steps = ARM_TOKENS.encode(arm_observations(count, seed))
    return [steps.take(slice(t, t + 1)) for t in range(count)]


class Probe(ActionDecoder):
    """Records the hidden state from which the first token of each action was chosen."""

    def _choose_all(self, slots, hidden):
        self.hidden = dict(zip(slots, hidden, strict=True))
        return super()._choose_all(slots, hidden)


def make_probe(model: Gato, window: int, slots: int = 1, length: int = LENGTH) -> Probe:
    return Probe(
        model,
        tokenizers=[ARM_TOKENS] * slots,
        window_steps=[window] * slots,
        seeds=list(range(slots)),
        options=DecodingOptions(length),
    )


def plain_hidden(model: Gato, seen: StepTokens, now: StepTokens) -> torch.Tensor:
    """Returns the hidden state of the last token of `now` after the steps `seen`, from one pass without a cache."""
    packer = Packer(ARM_TOKENS, length=LENGTH, window_steps=0, seed=0)
    # The last step needs some action to be packed; the position before the action does not see it.
    last = np.zeros((1, ARM.action.size))
    packer.add(seen_then(seen, now, last))
    inputs = ModelInputs.from_batch(collate([(0, packer.flush())], 4))
    end = int((inputs.segment[0] >= 0).sum()) - ARM.action.size - 1
    with torch.inference_mode():
        return model(inputs)[0, end]


def seen_then(seen: StepTokens | None, now: StepTokens, action: np.ndarray) -> StepTokens:
    tokens = ARM_TOKENS.encode(arm_observations(1), action).token[:, -ARM.action.size :]
    whole = with_actions(now, tokens)
    return whole if seen is None else StepTokens.join([seen, whole])


def with_actions(now: StepTokens, tokens: np.ndarray) -> StepTokens:
    """Returns `now` [1, K] followed by action tokens [1, A]."""
    blank = ARM_TOKENS.encode(arm_observations(1), np.zeros((1, 2)))
    width = ARM.action.size
    per_token = {
        "token": np.concatenate([now.token, tokens], 1),
        "kind": np.concatenate([now.kind, blank.kind[:, -width:]], 1),
        "local_position": np.concatenate([now.local_position, blank.local_position[:, -width:]], 1),
        "valid": np.concatenate([now.valid, np.ones((1, width), bool)], 1),
        "correction": np.concatenate([now.correction, np.zeros((1, width), np.int16)], 1),
    }
    return StepTokens(**per_token, patches=now.patches, patch_positions=now.patch_positions, tensors=now.tensors)


@pytest.mark.parametrize("keys", [{}, {"past_actions": "masked"}, {"positions": "learned"}, {"activation": "geglu"}])
@pytest.mark.parametrize("window", [0, 1, 3, 4])
def test_cached_states_equal_a_plain_pass_over_the_window(window, keys):
    """With an episode of 40 steps and a window of 96 tokens, the window slides often."""
    model = make_model(**keys)
    decoder = make_probe(model, window)
    steps: list[StepTokens] = []
    slid = 0
    for now in arm_steps(40):
        tokens = decoder.act([0], [now])[0]
        held = decoder.window(0)
        steps.append(with_actions(now, tokens[None]))
        slid += len(held) < len(steps)
        seen = StepTokens.join(steps[-len(held) : -1]) if len(held) > 1 else None
        expected = plain_hidden(model, seen, now)
        assert (decoder.hidden[0] - expected).abs().max() < 1e-4
        assert sum(map(len, held)) <= LENGTH
        assert len(held) <= (window or 1000)
    assert slid


def test_a_full_window_drops_its_oldest_half():
    decoder = make_decoder(make_model(), window=4)
    sizes = []
    for now in arm_steps(12):
        decoder.act([0], [now])
        sizes.append(len(decoder.window(0)))
    assert sizes == [1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4]


def test_a_window_limited_by_tokens_drops_steps_until_half_is_free():
    decoder = make_decoder(make_model(), window=0)
    before = 0
    slid = 0
    for now in arm_steps(40):
        decoder.act([0], [now])
        held = decoder.window(0)
        if len(held) <= before:
            slid += 1
            assert sum(map(len, held[:-1])) <= LENGTH // 2
        before = len(held)
    assert slid > 3


def test_a_step_longer_than_a_window_is_refused_and_the_task_is_named():
    with pytest.raises(ValueError, match=r"toy/arm.*10"):
        make_decoder(make_model(), length=10).act([0], arm_steps(1))


def test_actions_do_not_depend_on_other_slots_of_the_batch():
    """Slots of two tasks act and reset at random times; the actions must equal those of each slot alone."""
    model = make_model()
    lights = BUTTONS_TOKENS.encode({"light": np.arange(30) % 3})
    streams = [arm_steps(30, 1), [lights.take(slice(t, t + 1)) for t in range(30)], arm_steps(30, 2)]
    tokenizers, seeds, settings = [ARM_TOKENS, BUTTONS_TOKENS, ARM_TOKENS], [3, 4, 5], DecodingOptions(LENGTH, 1.0)
    together = ActionDecoder(model, tokenizers=tokenizers, window_steps=[0, 2, 3], seeds=seeds, options=settings)
    alone = [
        ActionDecoder(
            model, tokenizers=[tokenizers[i]], window_steps=[[0, 2, 3][i]], seeds=[seeds[i]], options=settings
        )
        for i in range(3)
    ]
    random = np.random.default_rng(0)
    clock = [0, 0, 0]
    for _ in range(40):
        slots = [i for i in range(3) if random.random() < 0.7 and clock[i] < 30]
        ended = [i for i in range(3) if random.random() < 0.05]
        together.reset(ended)
        for i in ended:
            alone[i].reset([0])
        if not slots:
            continue
        batch = together.act(slots, [streams[i][clock[i]] for i in slots])
        for i, tokens in zip(slots, batch, strict=True):
            assert tokens.tolist() == alone[i].act([0], [streams[i][clock[i]]])[0].tolist()
            assert len(tokens) == tokenizers[i].spec.action.size
            clock[i] += 1
    assert min(clock) > 15


def test_a_reset_slot_acts_like_a_new_one():
    model = make_model()
    used, fresh = make_probe(model, 0), make_probe(model, 0)
    for now in arm_steps(5):
        used.act([0], [now])
    used.reset([0])
    now = arm_steps(1, seed=9)
    assert used.act([0], now)[0].tolist() == fresh.act([0], now)[0].tolist()
    assert torch.allclose(used.hidden[0], fresh.hidden[0], atol=1e-6)


def test_a_prompt_precedes_every_episode_and_stays_when_the_window_slides():
    model = make_model()
    prompt = ARM_TOKENS.encode(arm_observations(3, 7), arm_actions(3, 7))
    decoder = make_probe(model, 0)
    decoder.prompt(0, prompt)
    for _ in range(2):
        steps: list[StepTokens] = []
        decoder.reset([0])
        for now in arm_steps(20):
            tokens = decoder.act([0], [now])[0]
            held = decoder.window(0)
            steps.append(with_actions(now, tokens[None]))
            own = len(held) - 3
            assert [piece.tolist() for piece in held[:3]] == [
                prompt.token[t][prompt.valid[t]].tolist() for t in range(3)
            ]
            seen = StepTokens.join([prompt, *steps[-own:-1]])
            assert (decoder.hidden[0] - plain_hidden(model, seen, now)).abs().max() < 1e-4
        assert own < 20


def test_a_prompt_longer_than_half_a_window_is_refused():
    with pytest.raises(ValueError, match="half of a window"):
        make_decoder(make_model()).prompt(0, ARM_TOKENS.encode(arm_observations(9), arm_actions(9)))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_only_valid_actions_are_chosen_even_if_another_token_is_likelier(temperature):
    model = make_model()
    with torch.no_grad():
        likely = 100 * torch.randn(32)
        model.head.weight[0], model.head.weight[-1] = likely, -likely
    first, last = ARM_TOKENS.action_ranges[0]
    free = make_decoder(model, valid_only=False, temperature=temperature)
    held = make_decoder(model, valid_only=True, temperature=temperature)
    ends, inside = set(), set()
    for now in arm_steps(10):
        ends |= set(free.act([0], [now])[0].tolist())
        inside |= set(held.act([0], [now])[0].tolist())
    assert ends <= {first, last - 1}
    assert all(first <= token < last for token in inside)
    assert len(inside) > 2


def test_every_element_of_a_multi_discrete_action_stays_in_its_range():
    light = ObservationSpec("light", Modality.DISCRETE, (), 3)
    keys = tokenizer_of(TaskSpec("toy/keys", (light,), ActionSpec(Modality.DISCRETE, (2,), (2, 900)), 9))
    decoder = ActionDecoder(
        make_model(), tokenizers=[keys], window_steps=[0], seeds=[0], options=DecodingOptions(LENGTH, temperature=5.0)
    )
    chosen = []
    for t in range(30):
        chosen.append(keys.decode_actions(decoder.act([0], [keys.encode({"light": np.array([t % 3])})])[0][None])[0])
    assert {int(pair[0]) for pair in chosen} == {0, 1}
    assert max(int(pair[1]) for pair in chosen) > 100
