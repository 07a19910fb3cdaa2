"""How much of each source the run's progress calls for, and how weights follow the scores."""

import pytest

from gato_dist.config.run_config import parse_config
from gato_dist.config.training_sections import RelabelConfig
from gato_dist.errors import InputError
from gato_dist.scores.table import ScoreRow
from gato_dist.sources import Source, expert_episodes, source_shares
from gato_dist.training.adaptive_weights import factors


def test_beta_falls_from_one_to_its_floor_between_two_points_of_the_run():
    config = RelabelConfig(start=0.2, until=0.6, min_beta=0.1)
    found = [expert_episodes(config, progress) for progress in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert found == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])


def test_beta_may_fall_at_once():
    config = RelabelConfig(start=0.0, until=0.0, min_beta=0.0)
    assert expert_episodes(config, 0.0) == 1.0
    assert expert_episodes(config, 1e-6) == 0.0


def test_shares_of_sources_fall_with_it_and_add_up():
    config = RelabelConfig(
        start=0.0, until=1.0, min_demonstration_share=0.4, self_imitation_threshold=0.9, self_imitation_share=0.5
    )
    assert source_shares(config, 0.5) == pytest.approx({Source.EXPERT: 0.7, Source.RELABELLED: 0.15, Source.SELF: 0.15})
    assert source_shares(RelabelConfig(), 1.0) == pytest.approx(
        {Source.EXPERT: 0.3, Source.RELABELLED: 0.7, Source.SELF: 0.0}
    )


def test_a_schedule_that_ends_before_it_begins_is_refused_by_its_key():
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


def test_weights_follow_need_and_gain_and_keep_their_sum():
    rows = scored("s/solved", 0.9, 1.0, 1.0) + scored("s/gains", 0.1, 0.3, 0.5) + scored("s/stuck", 0.1, 0.1, 0.1)
    weights = {"s/solved": 1.0, "s/gains": 2.0, "s/stuck": 1.0}
    found = factors(rows, weights, floor=0.2)
    assert found["s/gains"] > found["s/stuck"] > found["s/solved"]
    assert sum(weights[task] * found[task] for task in weights) == pytest.approx(4.0)
    # 0.2 against 0.2 + 0.8 · 0.9 / 2: solved is left with its floor.
    assert found["s/solved"] / found["s/stuck"] == pytest.approx(0.2 / (0.2 + 0.8 * 0.9 / 2), rel=0.02)


def test_what_was_not_measured_or_has_no_expert_keeps_its_weight():
    weights = {"s/a": 1.0, "s/none": 3.0, "s/new": 2.0}
    found = factors(scored("s/a", 0.5) + scored("s/none", None, None), weights, 0.25)
    assert found == pytest.approx({"s/a": 1.0, "s/none": 1.0, "s/new": 1.0})


def test_noise_of_few_episodes_moves_the_weights_less_than_what_is_measured_well():
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
    fine = [
        ScoreRow(
            step=i,
            weights_version=i,
            task="s/a",
            suite="s",
            episodes=200,
            random=0.0,
            expert=1.0,
            mean=f,
            std=0.1,
            fraction=f,
            ci_low=f,
            ci_high=f,
        )
        for i, f in enumerate((0.2, 0.6))
    ]
    other = scored("s/b", 0.5, 0.5)
    weights = {"s/a": 1.0, "s/b": 1.0}
    # Both gain; the one that is believed to have come further needs less.
    assert factors(rough + other, weights, 0.0)["s/a"] > factors(fine + other, weights, 0.0)["s/a"]
