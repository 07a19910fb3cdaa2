"""Results of evaluations: aggregates, learning curves, and the file of episodes."""

import json

import numpy as np
import pytest

from gato_dist.errors import InputError
from gato_dist.scores.references import Reference, Score
from gato_dist.scores.results import EpisodeLog, TaskResult, aggregates, profile
from gato_dist.scores.table import mean_curve


def reference(random: float, expert: float) -> Reference:
    first, second = (
        Score(mean=mean, std=0.0, episodes=10, seed=0, policy="p", policy_hash="h", success=None, date="2026-01-01")
        for mean in (random, expert)
    )
    return Reference(first, second, {})


def result(task: str, returns: list[float], successes=None, expert: float = 10.0, version: int = 2) -> TaskResult:
    reported = successes or [None] * len(returns)
    return TaskResult.of(
        task, returns, reported, reference(0.0, expert),
        step=5 * version, weights_version=version, tokens=70, seconds=1.5,
    )  # fmt: skip


def test_the_aggregate_of_a_suite():
    some = [result("a/one", [4.0, 8.0]), result("a/two", [9.0, 9.0]), result("a/three", [1.0, 3.0])]
    (suite,) = aggregates(some)
    assert suite.name == "a"
    assert suite.mean.value == pytest.approx((0.6 + 0.9 + 0.2) / 3)
    # Of the six episodes .1 .3 .4 .8 .9 .9, a quarter is one and a half.
    assert suite.iqm.value == pytest.approx((0.5 * 0.3 + 0.4 + 0.8 + 0.5 * 0.9) / 3)
    assert suite.mean.low < suite.mean.value < suite.mean.high
    assert (suite.tasks, suite.above_50, suite.above_80) == (3, 2, 1)


def test_a_task_at_one_half_does_not_count_as_above():
    (suite,) = aggregates([result("a/one", [5.0])])
    assert suite.above_50 == 0


def test_tasks_without_a_valid_expert_are_named_and_left_out_of_means():
    suite = aggregates([result("a/one", [5.0]), result("a/flat", [99.0], expert=0.0)])[0]
    assert (suite.tasks, suite.without_expert, suite.mean.value) == (1, ("a/flat",), 0.5)
    nothing = aggregates([result("a/flat", [99.0], expert=0.0)])[0]
    assert (nothing.tasks, nothing.mean, nothing.iqm) == (0, None, None)


def test_aggregates_of_suites_precede_that_of_all_tasks():
    found = aggregates([result("a/one", [10.0]), result("b/one", [0.0]), result("b/two", [5.0])])
    assert [(each.name, each.mean.value) for each in found] == [("a", 1.0), ("b", 0.25), ("all tasks", 0.5)]


def test_success_is_the_share_of_episodes_of_tasks_that_report_it():
    reported = result("a/one", [1.0, 2.0, 3.0, 4.0], [True, False, False, False])
    assert reported.success == 0.25
    (suite,) = aggregates([reported, result("a/two", [1.0])])
    assert (suite.success, suite.success_tasks) == (0.25, 1)


def test_human_normalised_scores_use_published_scores():
    boxing = result("ale/boxing", [6.1])
    assert boxing.human_normalised == pytest.approx((6.1 - 0.1) / (12.1 - 0.1))
    assert result("metaworld/reach-v3", [6.1]).human_normalised is None


def test_the_profile_leaves_out_tasks_without_a_valid_expert():
    share, _, _ = profile([result("a/one", [5.0]), result("a/flat", [99.0], expert=0.0)])
    assert share[0] == 1.0
    assert share[-1] == 0.0


def test_results_are_read_from_the_file_as_they_were_written(tmp_path):
    log = EpisodeLog(tmp_path / "episodes.jsonl")
    assert log.read() == []
    some = [result("a/one", [1 / 3, 2.0], [True, False]), result("a/flat", [99.0], expert=0.0)]
    for each in some:
        log.append(each)
    assert log.read() == some


@pytest.mark.parametrize("line", ["{", "[]", json.dumps({"task": "a/one"})])
def test_the_error_of_a_damaged_line_names_the_file(tmp_path, line):
    path = tmp_path / "episodes.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=r"episodes\.jsonl"):
        EpisodeLog(path).read()


def rows(*entries: tuple[int, str, float]):
    return [result(task, [10 * fraction], version=version).row for version, task, fraction in entries]


def curve(some, tasks=None) -> list[tuple[int, int, float]]:
    return [(point.version, point.oldest_version, pytest.approx(point.mean)) for point in mean_curve(some, tasks)]


def test_a_mean_waits_until_every_task_is_scored_with_one_version():
    some = rows((1, "a/one", 0.2), (1, "a/two", 0.4), (2, "a/one", 0.5), (2, "a/two", 0.6), (3, "a/one", 0.9))
    assert curve(some) == [(1, 1, 0.3), (2, 2, 0.55)]
    assert mean_curve(some)[1].step == 10


def test_a_mean_over_several_versions_names_the_oldest_and_uses_each_score_once():
    turns = rows((1, "a/one", 0.2), (2, "a/two", 0.4), (3, "a/three", 0.6), (4, "a/one", 0.8), (5, "a/two", 0.9))
    assert curve(turns) == [(3, 1, 0.4)]
    last = rows((6, "a/one", 1.0), (6, "a/two", 0.7), (6, "a/three", 0.7))
    assert curve(turns + last) == [(3, 1, 0.4), (6, 6, 0.8)]


def test_a_partly_scored_version_does_not_affect_the_next_mean():
    some = rows((1, "a/one", 0.2), (2, "a/one", 0.5), (2, "a/two", 0.7))
    assert curve(some) == [(2, 2, 0.6)]


def test_the_last_of_several_scores_of_a_version_counts():
    assert curve(rows((1, "a/one", 0.5), (2, "a/one", 0.9), (2, "a/one", 0.1))) == [(1, 1, 0.5), (2, 2, 0.1)]


def test_without_scores_there_is_no_mean():
    assert mean_curve([]) == []
    assert mean_curve([result("a/flat", [1.0], expert=0.0).row]) == []


def test_a_curve_over_chosen_tasks_ignores_the_others():
    some = rows((1, "a/one", 0.2), (1, "a/two", 0.4), (2, "a/one", 0.5))
    assert curve(some, ["a/one"]) == [(1, 1, 0.2), (2, 2, 0.5)]
    assert mean_curve(some, []) == []


def test_equal_episodes_have_no_standard_error_and_one_has_none():
    assert result("a/one", [2.0, 2.0]).standard_error == 0.0
    assert result("a/one", [2.0]).standard_error is None
    assert np.isfinite(result("a/one", [2.0, 3.0]).standard_error)
