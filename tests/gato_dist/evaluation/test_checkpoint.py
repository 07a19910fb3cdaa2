"""`gato-dist evaluate`: a checkpoint's scores are reproducible, on any number of workers, and equal the run's own."""

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
from gato_dist.evaluation import checkpoint as module
from gato_dist.evaluation.checkpoint import EvaluationRequest, evaluate_checkpoint
from gato_dist.evaluation.players import CheckpointRef, EvaluationOverrides, load_player
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
    folder.save(
        Snapshot.take(
            config, tokenizer, model=model, optimizer=make_optimizer(model, config.learner), counters=counters
        )
    )
    folder.wait()
    return folder.newest()


def evaluate(checkpoint, tasks, episodes, **others):
    return evaluate_checkpoint(EvaluationRequest(checkpoint=checkpoint, tasks=tasks, episodes=episodes, **others))


def test_episodes_are_split_into_groups_in_the_order_of_seeds():
    groups = evaluation_groups(2 * GROUP + 1)
    assert [len(group) for group in groups] == [GROUP, GROUP, 1]
    assert [seed for group in groups for seed in group] == evaluation_seeds(2 * GROUP + 1)


def test_two_workers_give_the_scores_of_one(checkpoint, monkeypatch):
    """Actions are sampled: every draw must be the same."""
    monkeypatch.setattr("actors.evaluate.GROUP", 2)
    alone, together = (
        evaluate(checkpoint, BALL, 5, workers=workers, overrides=EvaluationOverrides(temperature=1.0))
        for workers in (1, 2)
    )
    assert alone == together
    assert len(alone[0].returns) == 5


def test_a_checkpoint_reproduces_the_scores_that_the_run_measured(checkpoint):
    config, tokenizer, model, counters = load_for_acting(checkpoint)
    played = Evaluator(config, tokenizer).play(model, BALL, 18, counters.weights_version)
    again = evaluate(checkpoint, BALL, 18)[0]
    assert again.returns == tuple(episode.episode_return for episode in played)
    assert (again.row.step, again.row.weights_version, again.tokens) == (7, 2, 900)


def test_another_temperature_changes_the_scores_and_is_in_the_details(checkpoint, tmp_path):
    out = tmp_path / "hot.json"
    greedy = evaluate(checkpoint, POLE, 4)
    hot = evaluate(checkpoint, POLE, 4, overrides=EvaluationOverrides(temperature=1.5), details=out)
    assert greedy[0].returns != hot[0].returns
    details = json.loads(out.read_text())
    assert details["evaluation"]["temperature"] == 1.5
    assert tuple(details["tasks"][0]["returns"]) == hot[0].returns
    assert details["aggregates"][0]["name"] == "mujoco"


def test_a_prompt_can_be_shown_before_every_episode(checkpoint, tmp_path, capsys):
    out = tmp_path / "prompted.json"
    evaluate(checkpoint, POLE, 1, overrides=EvaluationOverrides(prompt_tokens=32), details=out)
    assert json.loads(out.read_text())["evaluation"]["prompt_tokens"] == 32
    for tokens in (0, 32):
        player = load_player(CheckpointRef.of(checkpoint), EvaluationOverrides(prompt_tokens=tokens))
        shown = player.evaluator.policy(player.model, POLE, [5], 1).describe()["prompt_tokens"]
        assert (shown > 0) == (tokens > 0)
    assert main(["evaluate", str(checkpoint), "--tasks", POLE, "--prompt-tokens", "65"]) == 2
    assert "evaluation.prompt_tokens: 65 is more than half of tokens.length 128" in capsys.readouterr().err


def test_filming_does_not_change_the_episodes(checkpoint):
    config, tokenizer, model, _ = load_for_acting(checkpoint)
    film, evaluator = Film(), Evaluator(config, tokenizer)
    filmed = evaluator.play(model, BALL, 3, 1, film)
    plain = evaluator.play(model, BALL, 3, 1)
    assert [each.episode_return for each in filmed] == [each.episode_return for each in plain]
    assert max(Image.open(io.BytesIO(film.gif())).size) <= MOST_PIXELS


def test_a_film_shows_every_step_of_a_short_episode_and_a_subset_of_a_long_one():
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


def test_the_table_has_the_columns_of_scores_csv_and_is_never_overwritten(checkpoint, tmp_path, capsys):
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


def test_a_task_that_fails_is_named_and_no_file_is_written(checkpoint, tmp_path, monkeypatch):
    def broken(job):
        raise InputError(f"{job.task}: out of order")

    monkeypatch.setattr(module, "play_job", broken)
    with pytest.raises(InputError, match=f"1 of 1 tasks not scored: {BALL}: out of order"):
        evaluate(checkpoint, BALL, 2, table=tmp_path / "scores.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_glob_that_matches_no_task_is_refused_with_the_known_tasks(checkpoint):
    with pytest.raises(InputError, match=f"the tasks of the checkpoint are {BALL}, {POLE}"):
        evaluate(checkpoint, "ale/*", 1)
