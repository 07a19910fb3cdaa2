"""The gradient step, the schedule, and a learner that stops and goes on."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gato_dist.config.run_config import parse_config
from gato_dist.config.sections import LearnerConfig
from gato_dist.model.inputs import Inputs, Targets
from gato_dist.sequence import Batch, collate
from gato_dist.specs import Modality
from gato_dist.tokens.layout import Vocabulary
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint import load_for_acting
from learner.checkpoint_folder import CheckpointFolder
from learner.loss import LossModel
from learner.optim import learning_rate
from learner.train import Learner, Preempted, train
from tests.support.fakes import BUTTONS

MODEL = {"width": 32, "layers": 1, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}


def make_config(**learner):
    settings = {"batch": 4, "warmup_steps": 0, "learning_rate": 3e-3} | learner
    data = {"name": "t", "tasks": [{"name": "metaworld/reach-v3"}], "model": MODEL, "learner": settings}
    return parse_config(data, "test")


def make_tokenizer() -> Tokenizer:
    return Tokenizer([BUTTONS], TextTokenizer.load(), "disjoint", "compact", {})


def make_batch(seed: int = 0) -> Batch:
    """The right action is the light that is on."""
    tokenizer = make_tokenizer().tasks[BUTTONS.name]
    light = np.random.default_rng(seed).integers(3, size=64)
    rows = Packer(tokenizer, 48, 1, seed).add(tokenizer.encode({"light": light}, light))
    assert rows is not None
    return collate([(0, rows)], 1)


class FakeHost:
    """Keeps what was published and reported; stops after `steps` questions."""

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


def test_the_masked_loss_is_the_full_sequences_masked_cross_entropy():
    config, tokenizer, batch = make_config(), make_tokenizer(), make_batch()
    learner = Learner(config, tokenizer)
    inputs = Inputs.of(batch)
    logits = learner.model.head(learner.model.eval()(inputs))
    everywhere = F.cross_entropy(logits[:, :-1].transpose(1, 2), inputs.token[:, 1:].long(), reduction="none")
    plain = everywhere[inputs.loss_mask[:, 1:]].mean()
    total, per_token = LossModel(learner.model, tokenizer.vocabulary).eval()(inputs, Targets.of(batch))
    assert total.item() / len(per_token) == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize("scheme", ["disjoint", "paper"])
def test_spread_targets_are_a_gaussian_over_the_bins_there_are(scheme):
    """Against a soft target written out by hand: at the ends of the range the other half of the bell is cut off."""
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


def test_spread_targets_keep_discrete_actions_one_hot():
    tokenizer, batch = make_tokenizer(), make_batch()
    model = Learner(make_config(), tokenizer).model.eval()
    fed = Inputs.of(batch), Targets.of(batch)
    _, plain = LossModel(model, tokenizer.vocabulary)(*fed)
    _, spread = LossModel(model, tokenizer.vocabulary, target_spread=4.0)(*fed)
    assert torch.allclose(plain, spread, atol=1e-5)


def test_a_learner_learns_what_the_action_depends_on():
    learner, batch = Learner(make_config(), make_tokenizer()), make_batch()
    first = learner.step(batch)
    for _ in range(80):
        last = learner.step(batch)
    assert first > 5
    assert last < 0.3


def test_the_schedule_warms_up_and_ends_at_a_tenth():
    config = LearnerConfig(learning_rate=1e-3, warmup_steps=10, final_share=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(1e-7)
    assert learning_rate(config, 5, 0.0) == pytest.approx((1e-7 + 1e-3) / 2)
    assert learning_rate(config, 10, 0.0) == pytest.approx(1e-3)
    assert learning_rate(config, 10, 0.5) == pytest.approx(1e-3 * 0.55)
    assert learning_rate(config, 10, 1.0) == learning_rate(config, 10, 7.0) == pytest.approx(1e-4)


def run(folder, host, config=None):
    batches = (make_batch(seed) for seed in itertools.count())
    return train(config or make_config(steps=6), make_tokenizer(), batches, host, CheckpointFolder(folder, 2))


def test_versions_grow_and_the_last_weights_are_published(tmp_path):
    host = FakeHost()
    run(tmp_path, host)
    assert [(version, step) for version, step, _ in host.versions] == [(1, 6)]
    assert host.reports[-1].step == 6


def test_a_run_that_was_stopped_goes_on_with_its_counters_and_weights(tmp_path):
    first, second = FakeHost(steps=3), FakeHost()
    assert run(tmp_path, first).step == 3
    assert run(tmp_path, second).step == 6
    (_, _, left), (version, step, taken) = first.versions[-1], second.versions[0]
    assert (version, step) == (2, 3)
    assert all(np.array_equal(left[name], taken[name]) for name in left)


def test_a_checkpoint_is_enough_to_act(tmp_path):
    run(tmp_path, FakeHost())
    config, tokenizer, model, counters = load_for_acting(CheckpointFolder(tmp_path, 2).newest())
    assert (config.learner.steps, counters.step) == (6, 6)
    assert tokenizer.fingerprint == make_tokenizer().fingerprint
    assert not model.training


def test_its_host_is_told_of_every_checkpoint(tmp_path):
    host = FakeHost()
    run(tmp_path, host, make_config(steps=6, checkpoint_seconds=1e-9))
    assert host.saved[-1] == 6
    assert host.saved == sorted(host.saved)
    assert {f"step-{step:08d}" for step in host.saved} >= {path.name for path in tmp_path.iterdir()}


def test_only_whole_checkpoints_count_and_only_the_newest_stay(tmp_path):
    (tmp_path / "step-00000099.partial").mkdir()
    folder = CheckpointFolder(tmp_path, 2)
    assert folder.newest() is None
    for steps in (2, 4, 6):
        run(tmp_path, FakeHost(), make_config(steps=steps))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000006"]


def test_versions_published_after_the_last_checkpoint_are_not_given_again(tmp_path):
    run(tmp_path, FakeHost(steps=3))
    host = FakeHost()
    folder = CheckpointFolder(tmp_path, 2)
    train(
        make_config(steps=6), make_tokenizer(), (make_batch(s) for s in itertools.count()), host, folder, min_version=9
    )
    assert [version for version, _, _ in host.versions] == [10, 11]


def test_a_learner_that_is_to_leave_writes_a_checkpoint_and_says_so(tmp_path):
    host, asked = FakeHost(), itertools.count()
    folder = CheckpointFolder(tmp_path, 2)
    batches = (make_batch(seed) for seed in itertools.count())
    with pytest.raises(Preempted, match="checkpoint is of step 3"):
        train(make_config(), make_tokenizer(), batches, host, folder, leaves=lambda: next(asked) >= 3)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    assert host.versions[-1][1] == 3
    assert "step 3" in host.notes[-1]
