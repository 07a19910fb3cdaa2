"""A checkpoint's scores come again: at any time, on any number of workers, and as the run itself measured them."""

import csv
import io
import json

import numpy as np
import pytest
import torch

from actors.evaluate import GROUP, Evaluator, evaluation_groups
from actors.filming import MOST_FRAMES, MOST_PIXELS, Film, Filmed
from gato_dist.cli.main import main
from gato_dist.config.run_config import parse_config
from gato_dist.envs.registry import make_env
from gato_dist.errors import InputError
from gato_dist.evaluation import checkpoint as measure
from gato_dist.evaluation.checkpoint import Manner, Request, evaluate_checkpoint, load_player
from gato_dist.model.gato import Gato
from gato_dist.scores.table import ScoreTable
from gato_dist.seeds import evaluation_seeds
from gato_dist.training.tokenizer import make_tokenizer
from learner.checkpoint import Counters, Snapshot, load_for_acting
from learner.checkpoint_folder import CheckpointFolder
from learner.optim import make_optimizer

pytest.importorskip("envpool")
Image = pytest.importorskip("PIL.Image")
BALL, POLE = "babyai/go-to-red-ball-grey", "mujoco/inverted-pendulum"
SMALL = {"width": 32, "layers": 2, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = parse_config({"name": "t", "tasks": [{"name": BALL}, {"name": POLE}], "model": SMALL}, "test")
    tokenizer = make_tokenizer(config)
    torch.manual_seed(0)
    model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)
    folder = CheckpointFolder(tmp_path_factory.mktemp("run"), 1)
    counters = Counters(step=7, tokens=900, seconds=3.5, weights_version=2)
    folder.save(Snapshot.of(config, tokenizer, model, make_optimizer(model, config.learner), counters))
    folder.wait()
    return folder.newest()


def test_episodes_are_cut_into_groups_in_the_order_of_seeds():
    groups = evaluation_groups(2 * GROUP + 1)
    assert [len(group) for group in groups] == [GROUP, GROUP, 1]
    assert [seed for group in groups for seed in group] == evaluation_seeds(2 * GROUP + 1)


def test_two_workers_find_what_one_does(checkpoint, monkeypatch):
    """Sampled, which shows more than greedy: every draw must be the same."""
    monkeypatch.setattr("actors.evaluate.GROUP", 2)
    alone, together = (evaluate_checkpoint(Request(checkpoint, BALL, 5, workers, Manner(1.0))) for workers in (1, 2))
    assert alone == together
    assert len(alone[0].returns) == 5


def test_a_checkpoint_reproduces_what_the_run_measured(checkpoint):
    config, tokenizer, model, counters = load_for_acting(checkpoint)
    played = Evaluator(config, tokenizer).play(model, BALL, 18, counters.weights_version)
    again = evaluate_checkpoint(Request(checkpoint, BALL, 18))[0]
    assert again.returns == tuple(episode.episode_return for episode in played)
    assert (again.row.step, again.row.weights_version, again.tokens) == (7, 2, 900)


def test_another_temperature_plays_otherwise_and_is_written_down(checkpoint, tmp_path):
    out = tmp_path / "hot.json"
    greedy = evaluate_checkpoint(Request(checkpoint, POLE, 4))
    hot = evaluate_checkpoint(Request(checkpoint, POLE, 4, manner=Manner(temperature=1.5), details=out))
    assert greedy[0].returns != hot[0].returns
    told = json.loads(out.read_text())
    assert told["evaluation"]["temperature"] == 1.5
    assert tuple(told["tasks"][0]["returns"]) == hot[0].returns
    assert told["aggregates"][0]["name"] == "mujoco"


def test_a_demonstration_can_lead_every_episode_from_the_checkpoint_alone(checkpoint, tmp_path, capsys):
    out = tmp_path / "led.json"
    evaluate_checkpoint(Request(checkpoint, POLE, 1, manner=Manner(prompt_tokens=32), details=out))
    assert json.loads(out.read_text())["evaluation"]["prompt_tokens"] == 32
    for tokens in (0, 32):
        player = load_player(checkpoint, "", Manner(prompt_tokens=tokens))
        led = player.evaluator.policy(player.model, POLE, [5], 1).describe()["prompt_tokens"]
        assert (led > 0) == (tokens > 0)
    assert main(["evaluate", str(checkpoint), "--tasks", POLE, "--prompt-tokens", "65"]) == 2
    assert "evaluation.prompt_tokens: 65 is more than half of tokens.length 128" in capsys.readouterr().err


def test_filming_an_episode_changes_nothing_about_it(checkpoint):
    config, tokenizer, model, _ = load_for_acting(checkpoint)
    film, evaluator = Film(), Evaluator(config, tokenizer)
    filmed = evaluator.play(model, BALL, 3, 1, film)
    plain = evaluator.play(model, BALL, 3, 1)
    assert [each.episode_return for each in filmed] == [each.episode_return for each in plain]
    assert max(Image.open(io.BytesIO(film.gif())).size) <= MOST_PIXELS


def test_a_film_shows_every_step_of_a_short_episode_and_every_so_many_of_a_long_one():
    film, left = Film(), np.zeros(1, np.int64)
    env = Filmed(make_env(BALL, [0]), film)
    env.reset()
    for _ in range(5):
        env.step(left)
    assert Image.open(io.BytesIO(film.gif())).n_frames == 5
    now, long = env.reset(), Film()
    for _ in range(3 * MOST_FRAMES):
        long.expose(env._env, now)
    assert MOST_FRAMES / 2 <= len(long._frames) < MOST_FRAMES
    env.close()


def test_the_table_has_a_runs_columns_and_is_never_overwritten(checkpoint, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    arguments = ["evaluate", str(checkpoint), "--tasks", "babyai/*", "--episodes", "2", "--out", str(out)]
    assert main(arguments) == 0
    with out.open(newline="") as file:
        assert [row["task"] for row in csv.DictReader(file)] == [BALL]
    assert ScoreTable.read(out)[0].episodes == 2
    before = out.read_text()
    assert main(arguments) == 2
    assert "scores.csv: exists already" in capsys.readouterr().err
    assert out.read_text() == before


def test_a_task_that_cannot_be_played_is_named_and_nothing_is_written(checkpoint, tmp_path, monkeypatch):
    def broken(job):
        raise InputError(f"{job.task}: out of order")

    monkeypatch.setattr(measure, "play", broken)
    with pytest.raises(InputError, match=f"1 of 1 tasks not scored: {BALL}: out of order"):
        evaluate_checkpoint(Request(checkpoint, BALL, 2, table=tmp_path / "scores.csv"))
    assert list(tmp_path.iterdir()) == []


def test_no_matching_task_is_refused_with_those_that_there_are(checkpoint):
    with pytest.raises(InputError, match=f"the tasks of the checkpoint are {BALL}, {POLE}"):
        evaluate_checkpoint(Request(checkpoint, "ale/*"))
