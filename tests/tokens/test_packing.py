"""Windows and rows: nothing lost, nothing twice, nothing seen across a cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_dist.kinds import Kind
from gato_dist.sequence import Rows, collate
from gato_dist.tokens.packing import Packer, row_shape
from tests.fakes import ARM, arm_actions, arm_observations, tokenizer_of

LENGTH = 96


def pack(episodes: list[int], window: int, encoding: str = "compact", seed: int = 0) -> list[Rows]:
    tokenizer = tokenizer_of(ARM, encoding)
    packer = Packer(tokenizer, LENGTH, window, seed)
    rows = []
    for index, steps in enumerate(episodes):
        rows.append(packer.add(tokenizer.encode(arm_observations(steps, index), arm_actions(steps, index)), index))
    rows.append(packer.flush())
    return [part for part in rows if part is not None]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 4), st.sampled_from(["paper", "compact"]))
def test_every_action_carries_loss_exactly_once(episodes, window, encoding):
    rows = pack(episodes, window, encoding)
    tokens = np.concatenate([part.token[part.loss_mask] for part in rows])
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


def test_windows_hold_no_more_steps_than_asked():
    for part in pack([30, 30], window=3):
        assert part.step.max() == 2


def test_rows_are_nearly_full():
    rows = pack([25] * 8, window=1)
    assert sum(part.tokens for part in rows[:-1]) / sum(part.token.size for part in rows[:-1]) > 0.85


def test_versions_of_a_row_span_the_episodes_in_it():
    rows = pack([3, 3, 3, 3], window=1)
    low, high = np.concatenate([part.weights_version for part in rows]).T
    assert low.min() == 0
    assert high.max() == 3
    assert (low <= high).all()


def test_item_ids_never_repeat():
    ids = np.concatenate([part.item_id for part in pack([20] * 6, window=2)])
    assert len(set(ids)) == len(ids)


def test_a_window_longer_than_a_row_is_refused_by_name():
    with pytest.raises(ValueError, match=r"toy/arm.*tokens\.length"):
        pack([20], window=10)


def test_rows_fit_the_signature_of_their_table():
    shape = row_shape(tokenizer_of(ARM), LENGTH)
    signature = Rows.signature(shape)
    for part in pack([20], window=1):
        assert {name: (value.shape, value.dtype) for name, value in part.row(0).items()} == signature


def test_a_batch_keeps_rides_in_the_order_of_their_positions():
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
