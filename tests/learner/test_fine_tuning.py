"""Fine-tuning: a new run of other tasks starts from a checkpoint's weights."""

from pathlib import Path

import pytest
import torch

from gato_dist.cli.main import main
from gato_dist.config.run_config import load_config, parse_config
from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint import Counters, Snapshot
from learner.checkpoint_folder import CheckpointFolder
from learner.fine_tuning import initial_weights
from learner.learner import Learner
from learner.train import train
from tests.learner.test_train import FakeHost, make_batch, make_config, make_tokenizer
from tests.support.fakes import BUTTONS
from tests.support.paths import ROOT

CONFIGS = ROOT / "configs"


def lights(count: int) -> Tokenizer:
    """Returns a tokenizer of one task whose observation is a grid of `count` numbers."""
    part = ObservationSpec("light", Modality.DISCRETE, (count,), 3)
    task = TaskSpec("fake/lights", (part,), ActionSpec(Modality.DISCRETE, num_values=(3,)), 20)
    return Tokenizer([task], TextTokenizer.load(), scheme="disjoint", encoding="compact", statistics={})


def save(root, learner: Learner, tokenizer: Tokenizer) -> Path:
    folder = CheckpointFolder(root, 1)
    folder.save(
        Snapshot.take(
            make_config(), tokenizer, model=learner.model, optimizer=learner.optimizer, counters=Counters(3, tokens=9)
        )
    )
    folder.wait()
    return folder.newest()


@pytest.fixture
def trained(tmp_path):
    learner = Learner.for_run(make_config(), make_tokenizer())
    for seed in range(3):
        learner.step(make_batch(seed))
    return save(tmp_path, learner, make_tokenizer()), learner


def test_a_new_run_starts_with_the_weights_only_and_publishes_them(trained, tmp_path):
    path, learner = trained
    host = FakeHost(steps=0)
    config = make_config(init=str(path))
    counters = train(
        config, make_tokenizer(), batches=iter([]), host=host, folder=CheckpointFolder(tmp_path / "new", 1)
    )
    assert (counters.step, counters.tokens) == (0, 0)
    ((version, step, weights),) = host.versions
    assert (version, step) == (1, 0)
    for name, tensor in learner.model.state_dict().items():
        assert (tensor.numpy() == weights[name]).all()


def test_a_run_with_a_checkpoint_ignores_init(trained, tmp_path):
    path, learner = trained
    batches = (make_batch(seed) for seed in range(10))
    train(
        make_config(init=str(path), steps=2),
        make_tokenizer(),
        batches=batches,
        host=FakeHost(),
        folder=CheckpointFolder(tmp_path / "b", 1),
    )
    host = FakeHost(steps=0)
    train(
        make_config(init="gone", steps=2),
        make_tokenizer(),
        batches=iter([]),
        host=host,
        folder=CheckpointFolder(tmp_path / "b", 1),
    )
    assert host.versions[0][1] == 2
    assert not torch.equal(learner.model.head.weight, torch.from_numpy(host.versions[0][2]["head.weight"]))


def named(*names: str) -> Tokenizer:
    """Returns a tokenizer of equal tasks that differ only in their separators."""
    part = ObservationSpec("light", Modality.DISCRETE, (1,), 3)
    tasks = [TaskSpec(name, (part,), ActionSpec(Modality.DISCRETE, num_values=(3,)), 20) for name in names]
    return Tokenizer(
        tasks, TextTokenizer.load(), scheme="disjoint", encoding="compact", statistics={}, separators="task"
    )


def test_a_task_keeps_the_embedding_of_its_separator_even_if_the_id_changes(tmp_path):
    before, now = named("fake/a", "fake/b"), named("fake/c", "fake/b", "fake/d")
    learner = Learner.for_run(make_config(), before)
    weights = initial_weights(save(tmp_path, learner, before), make_config(), now)
    old = learner.model.state_dict()
    last = before.vocabulary.separator
    for name in ("embedding.tokens.weight", "head.weight"):
        assert torch.equal(weights[name][: last + 1], old[name][: last + 1])
        assert torch.equal(weights[name][now.tasks["fake/b"].separator], old[name][before.tasks["fake/b"].separator])
        assert not torch.equal(weights[name][now.tasks["fake/d"].separator], old[name][-1])


@pytest.mark.parametrize("count", [2, 5])
def test_wider_and_narrower_tensors_keep_the_shared_inputs(tmp_path, count):
    learner, tokenizer = Learner.for_run(make_config(), lights(3)), lights(count)
    path = save(tmp_path, learner, lights(3))
    weights, old = initial_weights(path, make_config(), tokenizer), learner.model.state_dict()
    both = min(count, 3)
    name = "embedding.tensors.numbers.weight"
    assert weights[name].shape[1] == count
    assert torch.equal(weights[name][:, :both], old[name][:, :both])
    # Row 16 i + v of the grid table is value v at index i.
    table = "embedding.tensors.values.weight"
    assert torch.equal(weights[table][: 16 * both], old[table][: 16 * both])
    assert torch.equal(weights["head.weight"], old["head.weight"])
    Learner.for_run(make_config(), tokenizer).model.load_state_dict(weights)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"encoding": "paper"}, "tokens.encoding: .* compact, this configuration has paper"),
        ({"scheme": "paper", "text_size": 2000}, "tokens.vocabulary: .* disjoint"),
        ({"text_size": 4000}, "tokens.text_size: .* this configuration has 4000"),
    ],
)
def test_a_different_vocabulary_is_refused_and_the_key_is_named(trained, change, says):
    settings = {"scheme": "disjoint", "encoding": "compact", "text_size": None} | change
    other = Tokenizer(
        [BUTTONS],
        TextTokenizer.load(),
        scheme=settings["scheme"],
        encoding=settings["encoding"],
        statistics={},
        text_size=settings["text_size"],
    )
    with pytest.raises(InputError, match=says):
        initial_weights(trained[0], make_config(), other)


def test_a_different_model_is_refused_but_dropout_may_differ(trained):
    plain = make_config().model_dump(mode="json")
    with pytest.raises(InputError, match=r"model.heads: .*step-00000003 was trained with 2, this configuration has 1"):
        initial_weights(
            trained[0], parse_config(plain | {"model": plain["model"] | {"heads": 1}}, "t"), make_tokenizer()
        )
    initial_weights(
        trained[0], parse_config(plain | {"model": plain["model"] | {"dropout": 0.1}}, "t"), make_tokenizer()
    )


def test_an_invalid_init_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", str(CONFIGS / "finetune.yaml"), "--init", "nowhere", "--run", "new"]
    assert main(words) == 2
    assert "nowhere: not a checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_fine_tuning_preset_has_the_papers_settings_and_fits_the_quickstart():
    tune, quick = load_config(CONFIGS / "finetune.yaml"), load_config(CONFIGS / "quickstart.yaml")
    learner = tune.learner
    assert (learner.learning_rate, learner.batch, learner.steps, tune.model.dropout) == (1e-5, 64, 10_000, 0.1)
    assert (learner.warmup_steps, learner.final_lr_ratio, learner.weight_decay) == (0, 1.0, 0.0)
    assert tune.model.model_copy(update={"dropout": 0.0}) == quick.model
    assert tune.tokens == quick.tokens
    assert not {task.name for task in tune.tasks} & {task.name for task in quick.tasks}
