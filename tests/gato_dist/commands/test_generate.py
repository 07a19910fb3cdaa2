"""Corpora from files to text: `gato-dist train` learns captions, `gato-dist generate` writes them."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from gato_dist.cli.main import main
from gato_dist.config.run_config import RunConfig, load_config, parse_config
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import LossTargets, ModelInputs
from gato_dist.sequence import Batch, DataPosition
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from learner.loss import LossModel
from replay.corpora.corpus import open_corpora
from replay.disk_sources import disk_sources
from replay.loader import DiskSource, load_batches

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
MODEL = "{width: 64, layers: 1, heads: 2, key_size: 16, feed_forward: 128, patch_channels: 32, local_positions: 16}"


def write_squares(folder: Path) -> Path:
    """Writes four coloured squares with captions. Returns the config of a run that learns them."""
    lines = []
    for name, colour in COLOURS.items():
        image = Image.new("RGB", (32, 32))
        image.paste(colour, (8, 8, 24, 24))
        image.save(folder / f"{name}.png")
        lines.append(json.dumps({"image": f"{name}.png", "caption": f"{name} square"}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    (folder / "squares.yaml").write_text(f"""
name: squares
corpora: [{{name: squares, kind: caption, paths: {folder}/captions.jsonl}}]
tokens: {{image_size: [16, 16], length: 48}}
model: {MODEL}
learner: {{steps: 90, batch: 4, warmup_steps: 10, learning_rate: 0.006, weight_decay: 0.0}}
data: {{loaders: 0}}
""")
    return folder / "squares.yaml"


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    """Returns a folder with four squares and a run that has learned their captions. The captions are deleted."""
    folder = tmp_path_factory.mktemp("squares")
    assert main(["train", str(write_squares(folder)), "--run", str(folder / "run")]) == 0
    (folder / "captions.jsonl").unlink()
    return folder


def test_a_small_model_learns_four_captions_and_generate_writes_them(squares, capsys):
    checkpoint = str(squares / "run/checkpoints/step-00000090")
    assert "losses squares " in (squares / "run/log.txt").read_text()
    for name in COLOURS:
        assert main(["generate", checkpoint, "--image", str(squares / f"{name}.png")]) == 0
        assert capsys.readouterr().out == f"{name} square\n"
    assert (
        main(["generate", checkpoint, "--image", str(squares / "red.png"), "--text", "red", "--max-tokens", "3"]) == 0
    )
    assert capsys.readouterr().out == "sq\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "squares.yaml"], "--image: squares.yaml cannot be read as an image"),
        (["--image", "gone.png"], "--image: gone.png cannot be read as an image"),
        ([], "--image: is missing"),
        (["--image", "red.png", "--text", "a " * 60], "62 tokens leave no room in a window of 48"),
    ],
)
def test_a_prompt_that_the_model_cannot_continue_is_refused(squares, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(squares)
    assert main(["generate", "run/checkpoints/step-00000090", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_unusable_data_is_refused_before_the_run_folder_is_written(squares, capsys, tmp_path):
    config = str(squares / "squares.yaml")
    assert main(["train", config, "--data", str(tmp_path), "--run", str(tmp_path / "run")]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["train", config, "--run", str(tmp_path / "run")]) == 2
    assert "corpora.squares.paths: there is no file" in capsys.readouterr().err
    (squares / "captions.jsonl").write_text('{"image": "red.png", "title": "red"}')
    assert main(["train", config, "--run", str(tmp_path / "run")]) == 2
    assert "line 1: no field 'caption'; it has image, title" in capsys.readouterr().err
    (squares / "captions.jsonl").unlink()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("scheme", ["paper", "disjoint"])
def test_the_loss_of_text_is_plain_cross_entropy_although_action_targets_are_spread(tmp_path, scheme):
    (tmp_path / "a.txt").write_text("red ball\n\ngo to the red ball\n")
    data = {
        "name": "x",
        "corpora": [{"name": "a", "kind": "text", "paths": f"{tmp_path}/a.txt"}],
        "model": {"width": 32, "layers": 1, "heads": 2, "key_size": 16, "feed_forward": 32, "patch_channels": 8},
    }
    config = parse_config(data, "test")
    tokenizer = Tokenizer([], TextTokenizer.load(), scheme=scheme, encoding="compact", statistics={}, text_size=2000)
    batch = next(batches_of(config, tokenizer))
    inputs = ModelInputs.from_batch(batch)
    model = Gato(config.model, tokenizer.vocabulary.size, 0)
    with torch.inference_mode():
        _, spread = LossModel(model, tokenizer.vocabulary, 3.0)(inputs, LossTargets.from_batch(batch))
        wanted = inputs.loss_mask[:, 1:]
        logits = model.logits(model(inputs)[:, :-1][wanted])
        plain = F.cross_entropy(logits, inputs.token[:, 1:][wanted].long(), reduction="none")
    assert len(spread) == int(inputs.loss_mask.sum()) > 0
    assert np.allclose(spread, plain, atol=1e-5)


def test_batches_mix_corpora_and_tasks_by_weight(tmp_path):
    (tmp_path / "a.txt").write_text("red ball\n\ngo\n")
    (tmp_path / "c.yaml").write_text(f"""
name: both
tasks: [{{name: babyai/go-to-local, weight: 3}}]
corpora: [{{name: words, kind: text, paths: {tmp_path}/a.txt}}]
model: {MODEL}
""")
    config = load_config(tmp_path / "c.yaml")
    assert config.weights == {"babyai/go-to-local": 3.0, "words": 1.0}
    tokenizer = Tokenizer(
        [], TextTokenizer.load(), scheme="disjoint", encoding="compact", statistics={}, text_size=None
    )
    (words,) = disk_sources(config, tokenizer, None, open_corpora(config), seed=0)
    assert (words.task, words.weight) == (1, 1.0)
    played = DiskSource(0, 3.0, words.open)
    batches = load_batches([played, words], batch=64, lanes=2, tensor_size=5, position=DataPosition.start("", 0, 2, 2))
    counts = sum(np.bincount(next(batches).task, minlength=2) for _ in range(20))
    assert abs(counts[1] / counts.sum() - 0.25) < 0.05
    assert next(batches).tensors.shape == (0, 5)


def batches_of(config: RunConfig, tokenizer: Tokenizer, start: DataPosition | None = None) -> Iterator[Batch]:
    sources = disk_sources(config, tokenizer, None, open_corpora(config), seed=0)
    position = start or DataPosition.start("", 0, 2, len(sources))
    return load_batches(sources, batch=4, lanes=2, tensor_size=tokenizer.tensor_size, position=position)


def test_loading_resumes_in_the_middle_of_a_chunk(tmp_path):
    config = load_config(write_squares(tmp_path))
    tokenizer = Tokenizer(
        [], TextTokenizer.load(), scheme="disjoint", encoding="compact", statistics={}, text_size=None
    )
    whole = list(islice(batches_of(config, tokenizer), 30))
    position = DataPosition("", 0, 11, whole[10].cursor)
    resumed = list(islice(batches_of(config, tokenizer, position), 19))
    for one, other in zip(whole[11:], resumed, strict=True):
        assert np.array_equal(one.token, other.token)
        assert np.array_equal(one.patches, other.patches)
    assert len({batch.token.tobytes() for batch in whole}) > 10
