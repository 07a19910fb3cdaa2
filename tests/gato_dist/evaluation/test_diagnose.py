"""`gato-dist diagnose`: predictions on the expert's episodes with and without past actions, and closed-loop play."""

import pytest
import torch

from gato_dist.cli.main import main
from gato_dist.config.run_config import parse_config
from gato_dist.evaluation.diagnose import diagnose
from gato_dist.model.gato import Gato
from gato_dist.training.tokenizer import make_tokenizer
from learner.checkpoint import Counters, Snapshot
from learner.checkpoint_folder import CheckpointFolder
from learner.optim import make_optimizer

pytest.importorskip("envpool")
BALL = "babyai/go-to-red-ball-grey"
SMALL = {"width": 16, "layers": 1, "heads": 2, "key_size": 8, "feed_forward": 32, "patch_channels": 8}


def checkpoint(folder, **task):
    config = parse_config({"name": "t", "tasks": [{"name": BALL, **task}], "model": SMALL}, "test")
    tokenizer = make_tokenizer(config)
    torch.manual_seed(0)
    model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)
    checkpoints = CheckpointFolder(folder, 1)
    checkpoints.save(
        Snapshot.take(
            config, tokenizer, model=model, optimizer=make_optimizer(model, config.learner), counters=Counters()
        )
    )
    checkpoints.wait()
    return checkpoints.newest()


def test_windows_of_several_steps_are_predicted_with_and_without_past_actions(tmp_path, capsys):
    path = checkpoint(tmp_path, window_steps=4)
    found = diagnose(path, BALL, 2)
    assert found.past_hidden is not None
    assert (found.past_hidden.target == found.past_shown.target).all()
    assert (found.past_hidden.probability != found.past_shown.probability).any()
    assert found.expert_return > 0.5
    assert [len(result.returns) for result in found.closed_loop.values()] == [2, 2]
    shown = capsys.readouterr().out
    assert "correct, past actions hidden" in shown
    assert "When the expert changes its action" in shown
    again = diagnose(path, BALL, 2)  # hiding past actions left the model as it was
    assert (again.past_shown.probability == found.past_shown.probability).all()
    assert again.closed_loop == found.closed_loop


def test_a_window_of_one_step_is_reported_as_showing_no_past_action(tmp_path, capsys):
    assert main(["diagnose", str(checkpoint(tmp_path)), BALL, "--episodes", "1"]) == 0
    shown = capsys.readouterr().out
    assert "A window shows a single step" in shown
    assert "closed loop, sampled at temperature 1" in shown


def test_a_task_that_the_checkpoint_does_not_know_is_refused(tmp_path, capsys):
    assert main(["diagnose", str(checkpoint(tmp_path)), "ale/pong"]) == 2
    assert f"not one of the checkpoint's tasks, which are {BALL}" in capsys.readouterr().err
