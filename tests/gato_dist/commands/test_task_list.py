"""The tables of `gato-dist tasks` and `gato-dist experts list`."""

import pytest

from gato_dist.commands import task_list
from gato_dist.commands.task_list import print_experts, print_tasks
from gato_dist.scores.references import Reference, Score

RANDOM = Score(
    mean=0.25, std=0.0, episodes=50, seed=0, policy="uniform", policy_hash="aa", success=None, date="2026-11-21"
)


@pytest.fixture
def last_line(monkeypatch, capsys):
    def print_task(expert: Score, print_table) -> str:
        monkeypatch.setattr(task_list, "load_reference", lambda task: Reference(RANDOM, expert, {}))
        print_table(["mujoco/reacher"])
        return capsys.readouterr().out.splitlines()[-1]

    return print_task


@pytest.mark.parametrize("print_table", [print_tasks, print_experts])
def test_a_task_with_a_random_score_alone_shows_no_expert_score(last_line, print_table):
    line = last_line(RANDOM, print_table)
    assert "uniform" not in line
    assert line.count("0.25") == (1 if print_table is print_tasks else 0)


def test_an_expert_that_is_not_better_than_random_is_marked(last_line):
    worse = Score(
        mean=0.125, std=0.0, episodes=50, seed=0, policy="checkpoint", policy_hash="bb", success=None, date="2026-11-21"
    )
    assert "no expert (checkpoint ≤ random)" in last_line(worse, print_tasks)
    better = Score(
        mean=0.5, std=0.0, episodes=50, seed=0, policy="checkpoint", policy_hash="bb", success=None, date="2026-11-21"
    )
    assert "no expert" not in last_line(better, print_tasks)
