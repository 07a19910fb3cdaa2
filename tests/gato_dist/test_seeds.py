"""Seeds of different purposes never overlap."""

from hypothesis import given
from hypothesis import strategies as st

from gato_dist.seeds import (
    SEEDS_PER_BLOCK,
    dataset_seeds,
    evaluation_seeds,
    expert_seeds,
    is_training_seed,
    reference_seeds,
)


@given(
    st.integers(0, 10_000),
    st.integers(0, 10**7),
    st.integers(1, SEEDS_PER_BLOCK),
    st.integers(1, 500),
    st.integers(0, 100),
)
def test_experts_never_act_on_evaluation_or_reference_seeds(run, block, count, episodes, seed):
    experts = set(expert_seeds(run, block, count))
    assert not experts & set(evaluation_seeds(episodes))
    assert not experts & set(reference_seeds(episodes, seed))
    assert not set(evaluation_seeds(episodes)) & set(reference_seeds(episodes, seed))
    collected = set(dataset_seeds(block, count, seed))
    assert not collected & (experts | set(evaluation_seeds(episodes)) | set(reference_seeds(episodes, seed)))
    assert all(0 <= s < 2**31 for s in experts)
    assert all(map(is_training_seed, experts | collected))
    assert not any(map(is_training_seed, evaluation_seeds(episodes) + reference_seeds(episodes, seed)))


@given(st.integers(0, 1000), st.sets(st.integers(0, 100_000), min_size=2, max_size=2))
def test_seed_blocks_of_a_run_do_not_overlap(run, blocks):
    first, second = (set(expert_seeds(run, block, SEEDS_PER_BLOCK)) for block in blocks)
    assert not first & second
