"""`gato-dist experts train`: trained policies act and resume; wrong input is refused in one line."""

import json
import sys

import numpy as np
import pytest
import torch

from actors.evaluate import evaluate_expert
from actors.experts.rl.checkpoint import CheckpointExpert
from actors.experts.rl.preprocess import FrameStack, preprocess
from gato_dist.cli.main import main
from gato_dist.commands.expert_training import parse_settings
from gato_dist.envs.registry import task_spec
from tests.actors.experts.rl.test_checkpoint import observations_of

pytest.importorskip("stable_baselines3")

from actors.experts.rl.algorithms import make_training
from actors.experts.rl.train import train_expert
from actors.experts.rl.train_settings import make_settings
from actors.experts.rl.training_files import read_training
from actors.experts.rl.training_job import TrainingJob

CARTPOLE = "dm_control/cartpole-balance"
PPO = {"algorithm": "ppo", "envs": 2, "n_steps": 64, "batch_size": 64, "n_epochs": 2, "hidden": [16]}
SAC = {"learning_starts": 64, "hidden": [16, 16], "batch_size": 16}


def job_of(tmp_path, task, given, steps):
    spec = task_spec(task)
    settings = make_settings(spec, task.split("/")[0], given)
    return TrainingJob(task=task, settings=settings, steps=steps, seed=5, folder=tmp_path / "expert")


def predictions(job, observations, count):
    """Returns the actions of stable-baselines3's own model, resumed from the job's folder."""
    env, model = make_training(job, read_training(job.folder))
    spec = task_spec(job.task)
    stack = FrameStack(count, env.preprocessing.stack)
    seen = stack.push(preprocess(spec, env.preprocessing, observations, env.statistics))
    env.close()
    return model.predict(seen, deterministic=True)[0]


@pytest.mark.parametrize(
    ("task", "given", "steps"),
    [
        (CARTPOLE, PPO, 256),
        (CARTPOLE, SAC, 128),
        ("ale/pong", PPO | {"hidden": [], "n_steps": 16, "batch_size": 32, "n_epochs": 1}, 32),
        ("procgen/coinrun", PPO | {"hidden": [], "n_steps": 16, "batch_size": 32, "n_epochs": 1}, 32),
    ],
)
def test_a_trained_policy_acts_like_stable_baselines3s_model(tmp_path, task, given, steps):
    job = job_of(tmp_path, task, given, steps)
    assert train_expert(job, False, lambda progress: None) == steps
    spec = task_spec(task)
    seen = observations_of(spec, 12)
    expert = CheckpointExpert(spec, list(range(12)), str(job.folder))
    np.testing.assert_allclose(expert.act(seen, {}, np.ones(12, bool)), predictions(job, seen, 12), atol=1e-6)
    record = json.loads((job.folder / "policy.json").read_text())
    assert (record["task"], record["steps"], record["seed"]) == (task, steps, 5)
    assert {path.name for path in job.folder.iterdir()} == {"policy.safetensors", "policy.json", "training.pt"}


@pytest.mark.parametrize("given", [PPO, SAC])
def test_a_resumed_training_continues_with_its_parameters_and_optimizer(tmp_path, given):
    train_expert(job_of(tmp_path, CARTPOLE, given, 128), False, lambda progress: None)
    job = job_of(tmp_path, CARTPOLE, given, 384)
    before = read_training(job.folder)
    env, model = make_training(job, before)
    assert model.num_timesteps == 128
    for name, tensor in model.policy.state_dict().items():
        torch.testing.assert_close(tensor, before["parameters"]["policy"][name])
    optimizer = "policy.optimizer" if given is PPO else "actor.optimizer"
    moments = before["parameters"][optimizer]["state"][0]["exp_avg"]
    torch.testing.assert_close(model.get_parameters()[optimizer]["state"][0]["exp_avg"], moments)
    env.close()
    assert train_expert(job, True, lambda progress: None) == 384
    after = read_training(job.folder)
    assert (after["steps"], after["starts"]) == (384, 2)
    assert after["parameters"][optimizer]["state"][0]["step"] > before["parameters"][optimizer]["state"][0]["step"]


def train_cartpole(*arguments):
    return main(["experts", "train", CARTPOLE, *arguments])


def test_an_interrupted_training_is_saved_and_resumes_from_the_command_line(tmp_path, monkeypatch, capsys):
    import actors.experts.rl.train as module

    monkeypatch.setattr(module, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr("gato_dist.commands.expert_training.SCORED_EPISODES", 2)

    def interrupt(self, progress):
        if progress.steps >= 100:
            raise KeyboardInterrupt

    arguments = [f"{key}={json.dumps(value)}" for key, value in SAC.items()] + ["--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr("gato_dist.commands.expert_training.ProgressView.show", interrupt)
        assert train_cartpole(*arguments, "--steps", "200", "--seed", "3") == 130
    assert json.loads((tmp_path / "out" / "policy.json").read_text())["steps"] == 100
    assert "--resume" in capsys.readouterr().out
    assert train_cartpole("--out", str(tmp_path / "out"), "--resume") == 0
    record = json.loads((tmp_path / "out" / "policy.json").read_text())
    assert (record["steps"], record["seed"], record["hyperparameters"]["batch_size"]) == (200, 3, 16)
    assert record["scores"]["expert"]["episodes"] == 2
    assert record["command"] == (
        f"gato-dist experts train {CARTPOLE} hidden=[16,16] batch_size=16 learning_starts=64 --steps 200 --seed 3"
    )
    assert "random" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["learning_rat=1"], ["learning_rat", "no such key", "learning_rate"]),
        (["learning_rate=-1"], ["learning_rate", "greater than 0"]),
        (["algorithm=dreamer"], ["algorithm", "dreamer", "ppo"]),
        (["algorithm=ppo", "batch_size=7"], ["batch_size", "7"]),
        (["--resume"], ["no training to resume"]),
    ],
)
def test_a_wrong_setting_is_refused_by_key(tmp_path, capsys, arguments, expected):
    assert train_cartpole(*arguments, "--out", str(tmp_path / "out")) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert all(text in line for text in expected), line
    assert not (tmp_path / "out").exists()


def test_unsupported_tasks_algorithms_and_folders_in_use_are_refused(tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["experts", "train", "babyai/go-to-red-ball", *out]) == 2
    assert "text" in capsys.readouterr().err
    assert main(["experts", "train", "ale/pong", "algorithm=sac", *out]) == 2
    assert "ppo" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert train_cartpole(*out) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_resumed_training_refuses_other_settings_and_other_tasks(tmp_path, capsys):
    train_expert(job_of(tmp_path, CARTPOLE, SAC, 64), False, lambda progress: None)
    assert train_cartpole("hidden=[32]", "--out", str(tmp_path / "expert"), "--resume") == 2
    assert "hidden" in capsys.readouterr().err
    assert main(["experts", "train", "ale/pong", "--out", str(tmp_path / "expert"), "--resume"]) == 2
    assert CARTPOLE in capsys.readouterr().err


def test_missing_stable_baselines3_is_reported_with_its_extra(tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(("stable_baselines3", "actors.experts.rl.train"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    assert train_cartpole("--out", str(tmp_path / "out")) == 2
    line = capsys.readouterr().err
    assert "gato-dist[experts]" in line
    assert line.count("\n") == 1


def test_settings_are_parsed_as_yaml_values():
    assert parse_settings(["hidden=[8, 8]", "learning_rate=3e-4", "decay=false"]) == {
        "hidden": [8, 8],
        "learning_rate": "3e-4",
        "decay": False,
    }


def test_a_short_training_balances_the_pole(tmp_path):
    """Gymnasium's CartPole, whose environments can only be stepped together, is solved in a few thousand steps."""
    given = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "learning_rate": 1e-3, "gamma": 0.98}
    job = job_of(tmp_path, "gymnasium/CartPole-v1", given, 8_192)
    train_expert(job, False, lambda progress: None)
    expert = evaluate_expert(job.task, 8, "checkpoint", {"path": str(job.folder)})
    random = evaluate_expert(job.task, 8, "random")
    mean_expert, mean_random = (np.mean([episode.episode_return for episode in played]) for played in (expert, random))
    assert mean_random < 50
    assert mean_expert > 100
