"""Batches without a finite gradient: skipped and counted, and too many end the run."""

import itertools
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from learner import parallel
from learner.checkpoint_folder import CheckpointFolder
from learner.local_workers import run_workers
from learner.loss import LossModel
from learner.train import Learner, NonFiniteLoss, train
from tests.learner.test_checkpoint import run
from tests.learner.test_train import FakeHost, make_batch, make_config, make_tokenizer


@pytest.fixture
def poison(monkeypatch):
    """Numbers of the forward passes whose loss is NaN."""
    forward, numbers, bad = LossModel.forward, itertools.count(), set()

    def poisoned(self, inputs, targets):
        total, per_token = forward(self, inputs, targets)
        return total * (float("nan") if next(numbers) in bad else 1.0), per_token

    monkeypatch.setattr(LossModel, "forward", poisoned)
    return bad


def one_bad_share(root: Path) -> None:
    """A worker's job: three steps, of which the second has a NaN in the other worker's share alone."""
    with parallel.process_group(gpu=False):
        learner, clean = Learner(make_config(), make_tokenizer()), LossModel.forward

        def poisoned(self, inputs, targets):
            total, per_token = clean(self, inputs, targets)
            return total * float("nan"), per_token

        for number in range(3):
            LossModel.forward = poisoned if number == 1 and parallel.rank() == 1 else clean
            learner.step(make_batch(2 * number + parallel.rank()))
        assert (learner.counters.step, learner.counters.skipped) == (2, 1)
        save_file({f"{i}": tensor for i, tensor in enumerate(state(learner))}, root / f"{parallel.rank()}.safetensors")


def state(learner: Learner) -> list[torch.Tensor]:
    moments = [value for entry in learner.optimizer.state.values() for value in entry.values()]
    return [tensor.clone() for tensor in (*learner.model.parameters(), *moments)]


def test_a_batch_without_a_finite_gradient_changes_nothing_but_its_count(poison):
    learner = Learner(make_config(), make_tokenizer())
    learner.step(make_batch(0))
    before, tokens = state(learner), learner.counters.tokens
    poison.add(1)
    assert learner.step(make_batch(1)) != learner.step(make_batch(1)), "NaN, then a loss"
    assert (learner.counters.step, learner.counters.skipped, learner.counters.tokens) == (2, 1, 2 * tokens)
    assert learner.meter.report().loss > 0
    again = Learner(make_config(), make_tokenizer())
    again.step(make_batch(0))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(before, state(again), strict=True))


def test_skipped_batches_are_not_seen_again_and_are_reported(tmp_path, poison):
    poison |= {2, 3}
    host, newest = run(tmp_path / "a", steps=5)
    assert newest.name == "step-00000005"
    assert host.reports[-1].skipped == 2
    assert '"batches": 7' in (newest / "counters.json").read_text()


def test_a_run_with_skips_resumes_to_the_same_bits(tmp_path, poison):
    poison |= {1, 7}  # the second batch of each run
    unbroken, _ = run(tmp_path / "whole", steps=5)
    run(tmp_path / "cut", steps=5, stop=3)
    cut, _ = run(tmp_path / "cut", steps=5)
    for name, array in unbroken.versions[-1][2].items():
        assert (array == cut.versions[-1][2][name]).all()


def test_too_many_one_after_another_end_the_run_with_the_checkpoint_from_before(tmp_path, poison):
    poison |= {1, 2, *range(4, 20)}
    config = make_config(steps=50, max_skipped=3, checkpoint_seconds=1e-9)
    folder, taken = CheckpointFolder(tmp_path, 2), itertools.count()
    with pytest.raises(NonFiniteLoss, match=r"3 batches one after another after step 2.*learning_rate"):
        train(config, make_tokenizer(), map(make_batch, taken), FakeHost(), folder)
    assert next(taken) == 7
    folder.wait()
    assert folder.newest().name <= "step-00000002"
    assert '"skipped": 3' not in (folder.newest() / "counters.json").read_text()


def test_workers_skip_together(tmp_path):
    run_workers(partial(one_bad_share, tmp_path), 2)
    one, two = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(one[key], two[key]) and one[key].isfinite().all() for key in one)
