"""Reference scores do not depend on the number of workers, and a task that fails does not affect the others."""

import dataclasses

import pytest

from gato_dist.errors import InputError
from gato_dist.evaluation.references import ReferenceRequest, score_experts
from gato_dist.scores import references as scores
from gato_dist.scores.references import load_reference


@pytest.fixture
def temporary_references(monkeypatch, tmp_path):
    monkeypatch.setattr(scores, "_reference_path", lambda task: tmp_path / f"{task.replace('/', '.')}.json")


def without_date(task: str):
    reference = load_reference(task)
    return dataclasses.replace(reference.expert, date=""), dataclasses.replace(reference.random, date="")


def test_two_workers_give_the_scores_of_one(temporary_references):
    task = "babyai/go-to-local"
    score_experts(ReferenceRequest(tasks=[task], episodes=20, seed=3))
    alone = without_date(task)
    score_experts(ReferenceRequest(tasks=[task], episodes=20, seed=3, workers=2))
    assert without_date(task) == alone
    assert (alone[0].episodes, alone[1].episodes) == (20, 50)


def test_a_task_that_fails_is_named_and_the_others_are_saved(temporary_references):
    with pytest.raises(InputError, match=r"1 of 2 tasks not scored: sokoban/boxoban.*'bot'"):
        score_experts(ReferenceRequest(tasks=["sokoban/boxoban", "babyai/go-to-local"], episodes=2, kind="bot"))
    assert load_reference("babyai/go-to-local").expert.episodes == 2
    with pytest.raises(InputError, match="no reference scores"):
        load_reference("sokoban/boxoban")


def test_the_random_policy_alone_is_played_once_and_does_not_count_as_an_expert(temporary_references):
    task = "mujoco/inverted-pendulum"
    score_experts(ReferenceRequest(tasks=[task], episodes=10, seed=3, kind="random"))
    expert, random = without_date(task)
    assert expert == random
    assert load_reference(task).expert_is_random
    assert random.episodes == 50
    assert load_reference(task).moments["state"].count == pytest.approx(
        50 * random.mean
    )  # a reward of 1 for every step
