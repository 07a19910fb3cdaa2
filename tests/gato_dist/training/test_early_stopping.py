"""Which weights are the best, and when training ends early."""

import pytest

from gato_dist.config.process_sections import EvaluationConfig
from gato_dist.scores.table import MeanPoint, ScoreRow
from gato_dist.training.early_stopping import Selection


def point(version: int, mean: float, oldest: int | None = None, episodes: tuple[int, ...] = (8, 8)) -> MeanPoint:
    rows = tuple(
        ScoreRow(
            step=0,
            weights_version=version,
            task="a/x",
            suite="a",
            episodes=n,
            random=0.0,
            expert=1.0,
            mean=mean,
            std=0.0,
            fraction=mean,
            ci_low=mean,
            ci_high=mean,
        )
        for n in episodes
    )
    return MeanPoint(
        version=version, step=10 * version, oldest_version=version if oldest is None else oldest, mean=mean, rows=rows
    )


def selection(best: float = float("-inf"), **keys) -> Selection:
    return Selection(EvaluationConfig(**keys), best)


def test_a_new_best_must_exceed_all_earlier_means_including_earlier_starts():
    chosen = selection(best=0.3)
    found = [chosen.add(point(version, mean)) for version, mean in enumerate((0.2, 0.4, 0.4, 0.5))]
    assert found == [False, True, False, True]


def test_a_mean_over_different_numbers_of_episodes_does_not_count():
    chosen = selection()
    assert not chosen.add(point(4, 0.9, episodes=(8, 20)))
    assert chosen.add(point(4, 0.6, episodes=(20, 20)))
    assert not chosen.add(point(4, 0.7, episodes=(20, 20))), "one version, one mean"


@pytest.mark.parametrize(("share", "counts"), [(1.0, False), (0.5, True)])
def test_a_mean_over_several_versions_counts_only_if_tasks_take_turns(share, counts):
    assert selection(task_fraction=share).add(point(4, 0.9, oldest=3)) is counts


def test_training_ends_at_the_mean_stop_at():
    chosen = selection(stop_at=0.5)
    verdicts = []
    for each in (point(1, 0.49), point(2, 0.5)):
        chosen.add(each)
        verdicts.append(chosen.why_end(each))
    assert verdicts == [None, "mean fraction 0.50 reaches evaluation.stop_at 0.5"]


def test_training_ends_after_patience_means_without_a_new_best():
    chosen, ended = selection(patience=2), []
    for version, mean in enumerate((0.1, 0.05, 0.2, 0.2, 0.1)):
        each = point(version, mean)
        chosen.add(each)
        ended.append(chosen.why_end(each) is not None)
    assert ended == [False, False, False, False, True]


def test_training_does_not_end_early_by_default():
    chosen = selection()
    for version in range(50):
        chosen.add(point(version, 1.0 - version / 50))
        assert chosen.why_end(point(version, 1.0)) is None
