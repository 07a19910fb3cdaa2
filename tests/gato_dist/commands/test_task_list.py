"""What the tables say of a task."""

import pytest

from gato_dist.commands import task_list
from gato_dist.commands.task_list import print_experts, print_tasks
from gato_dist.scores.references import Reference, Score

RANDOM = Score(
    mean=0.25, std=0.0, episodes=50, seed=0, policy="uniform", policy_hash="aa", success=None, date="2026-11-21"
)


@pytest.fixture
def printed(monkeypatch, capsys):
    def of(expert: Score, show) -> str:
        monkeypatch.setattr(task_list, "load_reference", lambda task: Reference(RANDOM, expert, {}))
        show(["mujoco/reacher"])
        return capsys.readouterr().out.splitlines()[-1]

    return of


@pytest.mark.parametrize("show", [print_tasks, print_experts])
def test_where_random_alone_was_played_no_expert_has_a_score(printed, show):
    line = printed(RANDOM, show)
    assert "uniform" not in line
    assert line.count("0.25") == (1 if show is print_tasks else 0)


def test_an_expert_no_better_than_random_is_called_none(printed):
    worse = Score(
        mean=0.125, std=0.0, episodes=50, seed=0, policy="checkpoint", policy_hash="bb", success=None, date="2026-11-21"
    )
    assert "no expert (checkpoint ≤ random)" in printed(worse, print_tasks)
    better = Score(
        mean=0.5, std=0.0, episodes=50, seed=0, policy="checkpoint", policy_hash="bb", success=None, date="2026-11-21"
    )
    assert "no expert" not in printed(better, print_tasks)
