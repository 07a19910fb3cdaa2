"""A checkpoint is loaded once per process, plays with overridden settings, and scores in the order of seeds."""

import os

import pytest
import torch

from gato_dist.config.run_config import parse_config
from gato_dist.errors import InputError
from gato_dist.evaluation.players import CheckpointRef, EpisodeScore, EvaluationOverrides, load_player
from gato_dist.scores.references import load_reference
from gato_dist.training.live import make_tokenizer
from learner.checkpoint import Counters, Snapshot, build_model, content_hash, export_weights
from learner.checkpoint_folder import CheckpointFolder
from learner.optim import make_optimizer

pytest.importorskip("envpool")
TASK = "mujoco/inverted-pendulum"
SMALL = {"width": 16, "layers": 1, "heads": 1, "key_size": 16, "feed_forward": 32, "patch_channels": 8}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = parse_config({"name": "t", "tasks": [{"name": TASK}], "model": SMALL}, "test")
    tokenizer = make_tokenizer(config)
    model = build_model(config, tokenizer)
    folder = CheckpointFolder(tmp_path_factory.mktemp("run"), 1)
    counters = Counters(step=3, tokens=40, seconds=1.5, weights_version=2)
    folder.save(
        Snapshot.take(
            config, tokenizer, model=model, optimizer=make_optimizer(model, config.learner), counters=counters
        )
    )
    folder.wait()
    return folder.newest()


def test_a_checkpoint_is_loaded_again_only_if_its_content_or_the_overrides_differ(checkpoint, tmp_path):
    reference = CheckpointRef.of(checkpoint)
    player = load_player(reference, EvaluationOverrides())
    assert load_player(CheckpointRef.of(checkpoint), EvaluationOverrides()) is player
    assert load_player(reference, EvaluationOverrides(temperature=2.0)) is not player
    assert reference.content_hash == content_hash(checkpoint)
    os.symlink(checkpoint, tmp_path / "latest")
    assert CheckpointRef.of(tmp_path / "latest") == reference
    export_weights(checkpoint, tmp_path / "one.safetensors")
    assert CheckpointRef.of(tmp_path / "one.safetensors").content_hash == content_hash(tmp_path / "one.safetensors")


def test_a_path_without_a_checkpoint_is_reported_when_it_is_loaded(tmp_path):
    reference = CheckpointRef.of(tmp_path / "none")
    assert reference.content_hash == ""
    with pytest.raises(InputError, match="none"):
        load_player(reference, EvaluationOverrides())


def test_overrides_replace_the_checkpoints_evaluation_settings(checkpoint):
    reference = CheckpointRef.of(checkpoint)
    original = load_player(reference, EvaluationOverrides()).config
    player = load_player(reference, EvaluationOverrides(temperature=2.0, threads=1))
    assert player.config.evaluation == original.evaluation.model_copy(update={"temperature": 2.0, "threads": 1})
    assert player.config.learner == original.learner


def test_play_returns_the_first_episode_of_each_seed_and_sets_the_threads(checkpoint):
    player = load_player(CheckpointRef.of(checkpoint), EvaluationOverrides(threads=1))
    played = player.play(TASK, [8, 5])
    assert [(each.provenance.seed, each.provenance.episode) for each in played] == [(5, 0), (8, 0)]
    assert {each.provenance.weights_version for each in played} == {2}
    assert torch.get_num_threads() == 1


def test_results_are_in_the_order_of_seeds_and_name_the_checkpoints_position(checkpoint):
    player = load_player(CheckpointRef.of(checkpoint), EvaluationOverrides())
    result = player.result(TASK, [EpisodeScore(9, 3.0, None), EpisodeScore(2, 1.0, None)])
    assert result.returns == (1.0, 3.0)
    assert (result.row.step, result.row.weights_version, result.tokens, result.seconds) == (3, 2, 40, 1.5)
    assert result.row.expert == load_reference(TASK).expert.mean
