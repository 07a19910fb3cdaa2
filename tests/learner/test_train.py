"""The loss, the learning-rate schedule and the training loop: resuming, publishing, checkpoints, preemption."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gato_dist.config.run_config import parse_config
from gato_dist.config.training_sections import LearnerConfig
from gato_dist.model.inputs import LossTargets, ModelInputs
from gato_dist.sequence import Batch, collate
from gato_dist.specs import Modality
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.tokens.vocabulary import Vocabulary
from learner.checkpoint import load_for_acting
from learner.checkpoint_folder import CheckpointFolder
from learner.learner import Learner
from learner.loss import LossModel
from learner.optim import learning_rate
from learner.train import Preempted, train
from tests.support.fakes import BUTTONS

MODEL = {"width": 32, "layers": 1, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}


def make_config(**learner):
    settings = {"batch": 4, "warmup_steps": 0, "learning_rate": 3e-3} | learner
    data = {"name": "t", "tasks": [{"name": "metaworld/reach-v3"}], "model": MODEL, "learner": settings}
    return parse_config(data, "test")


def make_tokenizer() -> Tokenizer:
    return Tokenizer([BUTTONS], TextTokenizer.load(), scheme="disjoint", encoding="compact", statistics={})


def make_batch(seed: int = 0) -> Batch:
    """Returns a batch in which the action equals the observed light."""
    tokenizer = make_tokenizer().tasks[BUTTONS.name]
    light = np.random.default_rng(seed).integers(3, size=64)
    packed = Packer(tokenizer, length=48, window_steps=1, seed=seed).add(tokenizer.encode({"light": light}, light))
    assert packed is not None
    return collate([(0, packed)], 1)


class FakeHost:
    """Records what was published and reported; asks to stop after `steps` calls of should_stop."""

    def __init__(self, steps: int = 10**9) -> None:
        self.left, self.versions, self.reports = steps, [], []
        self.saved, self.notes = [], []

    def publish(self, version, step, weights) -> None:
        self.versions.append((version, step, {name: array.copy() for name, array in weights.items()}))

    def report(self, report) -> None:
        self.reports.append(report)

    def saving(self, step) -> None:
        self.saved.append(step)

    def note(self, message) -> None:
        self.notes.append(message)

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_the_masked_loss_equals_cross_entropy_over_all_positions_masked_afterwards():
    config, tokenizer, batch = make_config(), make_tokenizer(), make_batch()
    learner = Learner.for_run(config, tokenizer)
    inputs = ModelInputs.from_batch(batch)
    logits = learner.model.head(learner.model.eval()(inputs))
    everywhere = F.cross_entropy(logits[:, :-1].transpose(1, 2), inputs.token[:, 1:].long(), reduction="none")
    plain = everywhere[inputs.loss_mask[:, 1:]].mean()
    total, per_token = LossModel(learner.model, tokenizer.vocabulary).eval()(inputs, LossTargets.from_batch(batch))
    assert total.item() / len(per_token) == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize("scheme", ["disjoint", "paper"])
def test_spread_targets_are_a_gaussian_truncated_to_valid_bins(scheme):
    """Compares with soft targets computed by hand. At the ends of the range, half of the Gaussian is cut off."""
    vocabulary = Vocabulary(2000, scheme)
    first = vocabulary.action(Modality.CONTINUOUS)
    loss = LossModel(torch.nn.Identity(), vocabulary, target_spread=3.0)
    logits = torch.randn(3, vocabulary.size, generator=torch.Generator().manual_seed(0))
    bins = torch.tensor([0, 512, 1023])
    found = loss._spread_loss(logits, first + bins, torch.ones(3, dtype=torch.bool))
    share = torch.exp(-0.5 * ((torch.arange(1024) - bins[:, None]) / 3.0) ** 2)
    share = share * ((torch.arange(1024) - bins[:, None]).abs() <= 10)
    share = share / share.sum(1, keepdim=True)
    expected = -(share * logits.log_softmax(-1)[:, first : first + 1024]).sum(1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_discrete_actions_have_one_hot_targets_even_with_spread():
    tokenizer, batch = make_tokenizer(), make_batch()
    model = Learner.for_run(make_config(), tokenizer).model.eval()
    fed = ModelInputs.from_batch(batch), LossTargets.from_batch(batch)
    _, plain = LossModel(model, tokenizer.vocabulary)(*fed)
    _, spread = LossModel(model, tokenizer.vocabulary, target_spread=4.0)(*fed)
    assert torch.allclose(plain, spread, atol=1e-5)


def test_the_loss_falls_to_almost_zero_if_the_observation_determines_the_action():
    learner, batch = Learner.for_run(make_config(), make_tokenizer()), make_batch()
    first = learner.step(batch)
    for _ in range(80):
        last = learner.step(batch)
    assert first > 5
    assert last < 0.3


def test_the_learning_rate_warms_up_and_decays_to_its_final_share():
    config = LearnerConfig(learning_rate=1e-3, warmup_steps=10, final_lr_ratio=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(1e-7)
    assert learning_rate(config, 5, 0.0) == pytest.approx((1e-7 + 1e-3) / 2)
    assert learning_rate(config, 10, 0.0) == pytest.approx(1e-3)
    assert learning_rate(config, 10, 0.5) == pytest.approx(1e-3 * 0.55)
    assert learning_rate(config, 10, 1.0) == learning_rate(config, 10, 7.0) == pytest.approx(1e-4)


def run(folder, host, config=None):
    batches = (make_batch(seed) for seed in itertools.count())
    return train(
        config or make_config(steps=6), make_tokenizer(), batches=batches, host=host, folder=CheckpointFolder(folder, 2)
    )


def test_the_last_weights_are_published(tmp_path):
    host = FakeHost()
    run(tmp_path, host)
    assert [(version, step) for version, step, _ in host.versions] == [(1, 6)]
    assert host.reports[-1].step == 6


def test_a_resumed_run_keeps_its_counters_and_weights(tmp_path):
    first, second = FakeHost(steps=3), FakeHost()
    assert run(tmp_path, first).step == 3
    assert run(tmp_path, second).step == 6
    (_, _, left), (version, step, taken) = first.versions[-1], second.versions[0]
    assert (version, step) == (2, 3)
    assert all(np.array_equal(left[name], taken[name]) for name in left)


def test_a_checkpoint_alone_is_enough_to_act(tmp_path):
    run(tmp_path, FakeHost())
    config, tokenizer, model, counters = load_for_acting(CheckpointFolder(tmp_path, 2).newest())
    assert (config.learner.steps, counters.step) == (6, 6)
    assert tokenizer.fingerprint == make_tokenizer().fingerprint
    assert not model.training


def test_the_host_is_notified_of_every_checkpoint(tmp_path):
    host = FakeHost()
    run(tmp_path, host, make_config(steps=6, checkpoint_seconds=1e-9))
    assert host.saved[-1] == 6
    assert host.saved == sorted(host.saved)
    assert {f"step-{step:08d}" for step in host.saved} >= {path.name for path in tmp_path.iterdir()}


def test_partial_checkpoints_are_ignored_and_only_the_newest_are_kept(tmp_path):
    (tmp_path / "step-00000099.partial").mkdir()
    folder = CheckpointFolder(tmp_path, 2)
    assert folder.newest() is None
    for steps in (2, 4, 6):
        run(tmp_path, FakeHost(), make_config(steps=steps))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000006"]


def test_versions_published_after_the_last_checkpoint_are_not_reused(tmp_path):
    run(tmp_path, FakeHost(steps=3))
    host = FakeHost()
    folder = CheckpointFolder(tmp_path, 2)
    train(
        make_config(steps=6),
        make_tokenizer(),
        batches=(make_batch(s) for s in itertools.count()),
        host=host,
        folder=folder,
        min_version=9,
    )
    assert [version for version, _, _ in host.versions] == [10, 11]


def test_a_preempted_learner_writes_a_checkpoint_and_reports_it(tmp_path):
    host, asked = FakeHost(), itertools.count()
    folder = CheckpointFolder(tmp_path, 2)
    batches = (make_batch(seed) for seed in itertools.count())
    with pytest.raises(Preempted, match="checkpoint is of step 3"):
        train(
            make_config(),
            make_tokenizer(),
            batches=batches,
            host=host,
            folder=folder,
            is_preempted=lambda: next(asked) >= 3,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    assert host.versions[-1][1] == 3
    assert "step 3" in host.notes[-1]
