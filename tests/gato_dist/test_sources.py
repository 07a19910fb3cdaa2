"""How the share of each source follows the run's progress, and how task weights follow the scores."""

from dataclasses import replace

import pytest

from gato_dist.config.run_config import parse_config
from gato_dist.config.training_sections import RelabelConfig
from gato_dist.errors import InputError
from gato_dist.scores.table import ScoreRow
from gato_dist.sources import Source, expert_episodes, source_shares
from gato_dist.training.adaptive_weights import factors


def test_beta_falls_linearly_from_one_to_its_floor_between_start_and_until():
    config = RelabelConfig(start=0.2, until=0.6, min_beta=0.1)
    found = [expert_episodes(config, progress) for progress in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert found == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])


def test_beta_falls_at_once_if_start_equals_until():
    config = RelabelConfig(start=0.0, until=0.0, min_beta=0.0)
    assert expert_episodes(config, 0.0) == 1.0
    assert expert_episodes(config, 1e-6) == 0.0


def test_shares_of_sources_follow_progress_and_add_up_to_one():
    config = RelabelConfig(
        start=0.0, until=1.0, min_demonstration_share=0.4, self_imitation_threshold=0.9, self_imitation_share=0.5
    )
    assert source_shares(config, 0.5) == pytest.approx({Source.EXPERT: 0.7, Source.RELABELLED: 0.15, Source.SELF: 0.15})
    assert source_shares(RelabelConfig(), 1.0) == pytest.approx(
        {Source.EXPERT: 0.3, Source.RELABELLED: 0.7, Source.SELF: 0.0}
    )


def test_until_before_start_is_an_input_error_that_names_the_key():
    data = {"name": "x", "tasks": [{"name": "metaworld/reach-v3"}], "relabel": {"start": 0.5, "until": 0.2}}
    with pytest.raises(InputError, match=r"relabel\.until 0\.2 lies before relabel\.start 0\.5"):
        parse_config(data, "x.yaml")


def scored(task: str, *fractions: float | None) -> list[ScoreRow]:
    return [
        ScoreRow(
            step=i,
            weights_version=i,
            task=task,
            suite="s",
            episodes=16,
            random=0.0,
            expert=1.0,
            mean=f or 0.0,
            std=0.0,
            fraction=f,
            ci_low=f,
            ci_high=f,
        )
        for i, f in enumerate(fractions)
    ]


def test_factors_follow_need_and_gain_and_keep_the_sum_of_weights():
    rows = scored("s/solved", 0.9, 1.0, 1.0) + scored("s/gains", 0.1, 0.3, 0.5) + scored("s/stuck", 0.1, 0.1, 0.1)
    weights = {"s/solved": 1.0, "s/gains": 2.0, "s/stuck": 1.0}
    found = factors(rows, weights, floor=0.2)
    assert found["s/gains"] > found["s/stuck"] > found["s/solved"]
    assert sum(weights[task] * found[task] for task in weights) == pytest.approx(4.0)
    # 0.2 against 0.2 + 0.8 · 0.9 / 2: solved is left with its floor.
    assert found["s/solved"] / found["s/stuck"] == pytest.approx(0.2 / (0.2 + 0.8 * 0.9 / 2), rel=0.02)


def test_tasks_without_scores_or_a_valid_expert_keep_their_weight():
    weights = {"s/a": 1.0, "s/none": 3.0, "s/new": 2.0}
    found = factors(scored("s/a", 0.5) + scored("s/none", None, None), weights, 0.25)
    assert found == pytest.approx({"s/a": 1.0, "s/none": 1.0, "s/new": 1.0})


def test_scores_of_few_episodes_change_the_factors_less_than_scores_of_many():
    rough = [
        ScoreRow(
            step=i,
            weights_version=i,
            task="s/a",
            suite="s",
            episodes=2,
            random=0.0,
            expert=1.0,
            mean=f,
            std=0.5,
            fraction=f,
            ci_low=f,
            ci_high=f,
        )
        for i, f in enumerate((0.2, 0.6))
    ]
    fine = [replace(row, episodes=200, std=0.1) for row in rough]
    other = scored("s/b", 0.5, 0.5)
    weights = {"s/a": 1.0, "s/b": 1.0}
    # Both gain; the one that is believed to have come further needs less.
    assert factors(rough + other, weights, 0.0)["s/a"] > factors(fine + other, weights, 0.0)["s/a"]
