"""Packing: no action is lost or repeated, patches and tensors stay with their step, prompts carry no loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_dist.episode import Episode, Provenance, join_steps
from gato_dist.sequence import Kind, Sequences, collate
from gato_dist.tokens.packing import Packer, Prompting, cut_prompt, sequence_shape
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations, tokenizer_of

LENGTH = 96


def pack(
    episodes: list[int],
    window: int,
    encoding: str = "compact",
    seed: int = 0,
    length: int = LENGTH,
    prompting: Prompting | None = None,
) -> list[Sequences]:
    tokenizer = tokenizer_of(ARM, encoding)
    packer = Packer(tokenizer, length=length, window_steps=window, seed=seed, prompting=prompting or Prompting())
    sequences = []
    for index, steps in enumerate(episodes):
        sequences.append(packer.add(tokenizer.encode(arm_observations(steps, index), arm_actions(steps, index)), index))
    sequences.append(packer.flush())
    return [part for part in sequences if part is not None]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.integers(0, 4),
    st.sampled_from(["paper", "compact"]),
    st.sampled_from([Prompting(), Prompting(0.5, 48), Prompting(1.0, 10_000)]),
)
def test_every_action_carries_loss_exactly_once(episodes, window, encoding, prompting):
    sequences = pack(episodes, window, encoding, prompting=prompting)
    tokens = np.concatenate([part.token[part.loss_mask] for part in sequences])
    tokenizer = tokenizer_of(ARM, encoding)
    written = [tokenizer.encode(arm_observations(n, i), arm_actions(n, i)) for i, n in enumerate(episodes)]
    expected = np.concatenate([steps.token[steps.kind == Kind.ACTION_CONTINUOUS] for steps in written])
    assert sorted(tokens) == sorted(expected)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 4))
def test_patches_and_tensors_stay_with_their_step(episodes, window):
    seen = set()
    for index, steps in enumerate(episodes):
        observations, actions = arm_observations(steps, index), arm_actions(steps, index)
        encoded = tokenizer_of(ARM).encode(observations, actions)
        for t in range(steps):
            action = tuple(encoded.token[t][encoded.kind[t] == Kind.ACTION_CONTINUOUS])
            seen.add((action, encoded.patches[t].tobytes(), encoded.tensors[t].tobytes()))
    found = set()
    for part in pack(episodes, window):
        for row in range(len(part)):
            kind, place = part.kind[row], list(zip(part.segment[row], part.step[row], strict=True))
            patch = iter(part.patches[row])
            tensor = iter(part.tensors[row])
            for key in sorted({p for p in place if p[0] >= 0}, key=place.index):
                here = np.array([p == key for p in place])
                patches = b"".join(next(patch).tobytes() for _ in range((kind[here] == Kind.PATCH).sum()))
                tensors = b"".join(next(tensor).tobytes() for _ in range(np.isin(kind[here], [5, 6]).sum()))
                found.add((tuple(part.token[row][here & (kind >= Kind.ACTION)]), patches, tensors))
    assert found == seen


def test_windows_hold_at_most_window_steps():
    for part in pack([30, 30], window=3):
        assert part.step.max() == 2


def test_sequences_are_nearly_full():
    sequences = pack([25] * 8, window=1)
    assert sum(part.tokens for part in sequences[:-1]) / sum(part.token.size for part in sequences[:-1]) > 0.85


def test_weights_versions_of_a_sequence_span_its_episodes():
    sequences = pack([3, 3, 3, 3], window=1)
    low, high = np.concatenate([part.weights_version for part in sequences]).T
    assert low.min() == 0
    assert high.max() == 3
    assert (low <= high).all()


def test_item_ids_never_repeat():
    ids = np.concatenate([part.item_id for part in pack([20] * 6, window=2)])
    assert len(set(ids)) == len(ids)


def test_a_step_longer_than_a_sequence_is_refused_and_the_task_is_named():
    with pytest.raises(ValueError, match=r"toy/arm.*tokens\.length"):
        pack([20], window=1, length=10)


@pytest.mark.parametrize("window", [0, 1, 7])
def test_short_episodes_leave_less_than_five_percent_padding(window):
    """Episodes of about 8 steps in sequences of 1024 tokens; windows are split at the end of a sequence."""
    lengths = np.random.default_rng(0).integers(1, 16, size=150).tolist()
    sequences = pack(lengths, window, length=1024)[:-1]
    assert sum(part.tokens for part in sequences) / sum(part.token.size for part in sequences) > 0.95


def test_a_window_split_by_the_end_of_a_sequence_continues_as_a_new_segment():
    sequences = [part for part in pack([40], window=0) if part is not None]
    assert sum(len(part) for part in sequences) > 1
    for part in sequences:
        assert (part.segment[:, 0] == 0).all()
        assert (part.step[:, 0] == 0).all()


def prompted(part: Sequences, row: int) -> bool:
    """Returns whether the first action of a sequence carries no loss."""
    first = np.flatnonzero(part.kind[row] >= Kind.ACTION)[0]
    return not part.loss_mask[row, first]


def test_the_configured_share_of_sequences_begins_with_a_prompt():
    sequences = pack([25] * 300, window=0, prompting=Prompting(0.25, 48))
    whole = [(part, row) for part in sequences for row in range(len(part))]
    assert len(whole) > 1000
    assert sum(prompted(part, row) for part, row in whole) / len(whole) == pytest.approx(0.25, abs=0.03)


def test_a_prompt_belongs_to_the_first_window_and_carries_no_loss():
    first, second = 12, 6
    sequences = pack([first, second], window=0, prompting=Prompting(1.0, 40))
    seen = {tuple(t) for t in action_tokens(first, 0)}
    # The first sequence has no prompt: there is no other episode yet. The last one begins with the second episode.
    part = sequences[-1]
    row = len(part) - 1
    acts = part.kind[row] >= Kind.ACTION
    without = part.token[row][acts & ~part.loss_mask[row]].reshape(-1, 2)
    assert len(without)
    assert {tuple(pair) for pair in without} <= seen
    prompt_positions = np.flatnonzero(acts & ~part.loss_mask[row])
    window_positions = np.flatnonzero(part.loss_mask[row])
    assert prompt_positions.max() < window_positions.min()
    assert part.segment[row, prompt_positions].tolist() == [0] * len(prompt_positions)
    assert part.segment[row, window_positions[0]] == 0
    lengths = tokenizer_of(ARM).encode(arm_observations(first), arm_actions(first)).lengths
    assert prompt_positions.max() < 40 + lengths.max()


def action_tokens(steps: int, seed: int) -> np.ndarray:
    encoded = tokenizer_of(ARM).encode(arm_observations(steps, seed), arm_actions(steps, seed))
    return encoded.token[encoded.kind >= Kind.ACTION].reshape(steps, 2)


def test_an_episode_is_no_prompt_for_itself():
    sequences = pack([60], window=0, prompting=Prompting(1.0, 40))
    assert not any(prompted(part, row) for part in sequences for row in range(len(part)))


@given(st.integers(1, 40), st.integers(0, 600), st.integers(0, 10**6))
def test_a_prompt_holds_as_many_whole_steps_as_fit(steps, tokens, seed):
    episode = tokenizer_of(ARM).encode(arm_observations(steps), arm_actions(steps))
    for random in (None, np.random.default_rng(seed)):
        cut = cut_prompt(episode, tokens, random)
        length = int(cut.lengths.sum()) if cut else 0
        assert length <= tokens
        longest = int(episode.lengths.max())
        if tokens >= episode.lengths.sum():
            assert len(cut) == steps
        else:
            assert length > tokens - 2 * longest
    assert cut is None or any((cut.token[0] == episode.token[t]).all() for t in range(steps))


def test_half_of_the_prompts_are_the_end_of_an_episode():
    """Uniform cuts are rarely at the end: 25 steps leave about twenty starts."""
    ends = {tuple(action_tokens(25, seed)[-1]) for seed in range(300)}
    sequences = pack([25] * 300, window=0, prompting=Prompting(1.0, 48))
    last = []
    for part in sequences:
        for row in range(len(part)):
            if prompted(part, row):
                tokens = part.token[row][(part.kind[row] >= Kind.ACTION) & ~part.loss_mask[row]]
                last.append(tuple(tokens[-2:]) in ends)
    assert len(last) > 500
    assert 0.45 < np.mean(last) < 0.6


def test_a_prompt_takes_at_most_half_of_its_sequence():
    sequences = pack([40] * 30, window=0, prompting=Prompting(1.0, 10_000))
    whole = [(part, row) for part in sequences for row in range(len(part)) if prompted(part, row)]
    assert len(whole) > 30
    for part, row in whole:
        assert np.flatnonzero((part.kind[row] >= Kind.ACTION) & ~part.loss_mask[row]).max() < LENGTH // 2


def test_a_prompt_is_cut_from_the_end_or_from_a_random_position():
    episode = tokenizer_of(ARM).encode(arm_observations(30), arm_actions(30))
    assert (cut_prompt(episode, 100, None).token[-1] == episode.token[-1]).all()
    starts = {cut_prompt(episode, 100, np.random.default_rng(seed)).token[0].tobytes() for seed in range(300)}
    assert len(starts) >= 20


def test_sequences_match_their_signature():
    shape = sequence_shape(tokenizer_of(ARM), LENGTH)
    signature = Sequences.signature(shape)
    for part in pack([20], window=1):
        assert {name: (value.shape, value.dtype) for name, value in part.item(0).items()} == signature


def items_of(part: Sequences | None) -> list[dict[str, bytes]]:
    sequences = [part.item(index) for index in range(len(part))] if part is not None else []
    return [{name: value.tobytes() for name, value in row.items()} for row in sequences]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.integers(1, 8),
    st.integers(0, 4),
    st.sampled_from([1.0, 0.3]),
    st.sampled_from([Prompting(), Prompting(0.5, 48), Prompting(1.0, 10_000)]),
)
def test_episodes_added_together_give_the_same_sequences(lengths, together, window, keep_repeats, prompting):
    tokenizer = tokenizer_of(ARM)
    actions = [np.repeat(arm_actions(n, i), 2, axis=0)[:n] for i, n in enumerate(lengths)]
    source = Provenance(task=ARM.name, seed=0, policy="fake", policy_hash="")
    episodes = [
        Episode(arm_observations(n, i), actions[i], actions[i], np.zeros(n, np.float32), True, None, source)
        for i, n in enumerate(lengths)
    ]
    one, many = (
        Packer(
            tokenizer,
            length=LENGTH,
            window_steps=window,
            seed=3,
            first_item=100,
            keep_repeats=keep_repeats,
            prompting=prompting,
        )
        for _ in range(2)
    )
    single, joined = [], []
    for episode in episodes:
        single += items_of(one.add(tokenizer.encode(episode.observations, episode.targets), 7))
    for first in range(0, len(episodes), together):
        group = episodes[first : first + together]
        joined += items_of(many.add_episodes(tokenizer.encode(*join_steps(group)), [len(each) for each in group], 7))
    assert joined + items_of(many.flush()) == single + items_of(one.flush())


def test_grids_are_stored_as_uint8_and_collated_as_float32():
    tokenizer, light = tokenizer_of(BUTTONS), np.arange(40) % 3
    sequences = Packer(tokenizer, length=16, window_steps=0, seed=0).add(tokenizer.encode({"light": light}, light))
    assert sequences.tensors.dtype == np.uint8
    batch = collate([(0, sequences)], tensor_size=6)
    assert batch.tensors.dtype == np.float32
    assert batch.tensors[:, 0].tolist() == light[: len(batch.tensors)].tolist()
    assert tokenizer_of(ARM).encode(arm_observations(1)).tensors.dtype == np.float32


def test_sequences_round_trip_through_bytes():
    for spec, observations, actions in (
        (ARM, arm_observations(40), arm_actions(40)),
        (BUTTONS, {"light": np.arange(200) % 3}, np.arange(200) % 3),
    ):
        tokenizer = tokenizer_of(spec)
        sequences = Packer(tokenizer, length=LENGTH, window_steps=0, seed=0).add(
            tokenizer.encode(observations, actions)
        )
        shape = sequence_shape(tokenizer, LENGTH)
        back = Sequences.from_bytes(sequences.to_bytes(), shape)
        for name, (_, dtype) in Sequences.signature(shape).items():
            assert getattr(back, name).dtype == dtype
            assert (getattr(back, name) == getattr(sequences, name)).all()
        with pytest.raises(ValueError, match="bytes"):
            Sequences.from_bytes(sequences.to_bytes(), sequence_shape(tokenizer, LENGTH + 1))


def test_a_batch_keeps_patches_and_tensors_in_the_order_of_their_positions():
    first, second = pack([20], window=1)[0], pack([10], window=2, seed=1)[0]
    batch = collate([(3, first), (7, second)], tensor_size=6)
    assert len(batch.patches) == (batch.kind == Kind.PATCH).sum()
    assert len(batch.tensors) == np.isin(batch.kind, [Kind.TENSOR, Kind.GRID]).sum()
    assert batch.task.tolist() == [3] * len(first) + [7] * len(second)
    in_first = (first.kind[0] == Kind.PATCH).sum()
    assert (batch.patches[:in_first] == first.patches[0, :in_first]).all()


def test_positions_count_from_the_start_of_a_segment():
    part = pack([20], window=2)[0]
    batch = collate([(0, part)], tensor_size=4)
    for segment in np.unique(part.segment[0]):
        here = part.segment[0] == segment
        assert batch.position[0][here].tolist() == list(range(here.sum()))
