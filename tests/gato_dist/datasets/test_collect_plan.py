"""Plans of collections: the shards that a goal needs do not depend on the number of workers or on their order."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_dist.datasets.collect_plan import (
    MAX_REJECTED,
    SHARD_EPISODES,
    CollectionGoal,
    EpisodeRange,
    ShardSummary,
    TaskPlan,
)
from gato_dist.datasets.collect_progress import CollectProgress, clock
from gato_dist.datasets.collect_shard import ShardResult
from gato_dist.seeds import DATASET_SEEDS
from gato_dist.utils.console import make_console

MAX_STEPS = 30


def episode_lengths(seed: int, filtered: bool):
    """Returns a function from an episode's index to its number of steps; 0 if the episode is dropped."""
    return lambda i: 0 if filtered and random.Random(f"{seed} {i}").random() < 0.4 else 1 + hash((seed, i)) % MAX_STEPS


def episode_plan(episodes: int, existing: list[ShardSummary]) -> TaskPlan:
    return TaskPlan(CollectionGoal(episodes=episodes), existing, filtered=False)


def play(episodes: EpisodeRange, length) -> ShardSummary:
    steps = [length(i) for i in range(episodes.first, episodes.first + episodes.count)]
    return ShardSummary(episodes.first, episodes.count, sum(s > 0 for s in steps), sum(steps))


def collect(
    goal: CollectionGoal, length, *, filtered: bool, max_steps: int, workers: int, order: random.Random
) -> list[ShardSummary]:
    """Returns the shards that a collection leaves. The shards of its workers end in a random order."""
    plan, running, held = TaskPlan(goal, [], filtered=filtered, max_steps=max_steps), [], {}
    while True:
        while len(running) < workers and (episodes := plan.start_next()):
            running.append(episodes)
        if not running:
            break
        shard = play(running.pop(order.randrange(len(running))), length)
        held[shard.first] = shard
        plan.add(shard)
    assert plan.complete
    for first in plan.surplus():
        del held[first]
    again = TaskPlan(goal, list(held.values()), filtered=filtered, max_steps=max_steps)
    assert (again.complete, again.start_next(), again.surplus()) == (True, None, [])
    return [held[first] for first in sorted(held)]


@settings(max_examples=60)
@given(
    goal=st.one_of(
        st.builds(CollectionGoal, episodes=st.integers(1, 120)), st.builds(CollectionGoal, steps=st.integers(1, 2000)),
        st.builds(CollectionGoal, st.integers(1, 120), st.integers(1, 2000)),
    ),
    filtered=st.booleans(), max_steps=st.sampled_from([0, MAX_STEPS]), workers=st.integers(2, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_many_workers_leave_the_shards_that_one_worker_leaves(goal, filtered, max_steps, workers, seed):
    length = episode_lengths(seed, filtered)
    options = {"filtered": filtered, "max_steps": max_steps}
    alone = collect(goal, length, **options, workers=1, order=random.Random(0))
    assert collect(goal, length, **options, workers=workers, order=random.Random(seed)) == alone
    assert sum(shard.kept for shard in alone) >= goal.episodes
    assert sum(shard.steps for shard in alone) >= goal.steps
    # The last shard was needed.
    before = alone[:-1]
    assert sum(s.kept for s in before) < goal.episodes or sum(s.steps for s in before) < goal.steps
    if not filtered and not goal.steps:
        assert sum(shard.count for shard in alone) == goal.episodes


def test_one_worker_plays_no_surplus_shard():
    length = episode_lengths(5, True)
    plan = TaskPlan(CollectionGoal(steps=900), [], filtered=True, max_steps=MAX_STEPS)
    while episodes := plan.start_next():
        plan.add(play(episodes, length))
    assert (plan.complete, plan.surplus()) == (True, [])


def test_a_larger_goal_keeps_the_existing_shards():
    existing = [ShardSummary(0, 16, 16, 160), ShardSummary(16, 4, 4, 40)]
    plan = episode_plan(40, existing)
    assert [plan.start_next() for _ in range(3)] == [EpisodeRange(20, 12), EpisodeRange(32, 8), None]
    gap = episode_plan(40, [ShardSummary(20, 12, 12, 120)])
    assert [gap.start_next() for _ in range(4)] == [
        EpisodeRange(0, 16), EpisodeRange(16, 4), EpisodeRange(32, 8), None,
    ]  # fmt: skip
    assert episode_plan(18, existing).start_next() is None


def test_a_shard_whose_episodes_others_hold_is_surplus():
    shards = [ShardSummary(0, 16, 16, 1), ShardSummary(16, 16, 16, 1), ShardSummary(20, 12, 12, 1)]
    assert episode_plan(32, shards).surplus() == [20]


def test_before_any_shard_has_ended_only_shards_that_are_certainly_needed_start():
    goal = CollectionGoal(steps=3 * SHARD_EPISODES * MAX_STEPS + 1)
    plan = TaskPlan(goal, [], filtered=False, max_steps=MAX_STEPS)
    assert [plan.start_next() for _ in range(5)][3:] == [EpisodeRange(48, 16), None]
    unknown = TaskPlan(CollectionGoal(steps=10**6), [], filtered=False)
    assert [unknown.start_next(), unknown.start_next()] == [EpisodeRange(0, 16), None]


def test_a_plan_gives_up_after_many_dropped_episodes_in_a_row():
    plan = TaskPlan(CollectionGoal(episodes=5), [ShardSummary(0, SHARD_EPISODES, 1, 9)], filtered=True)
    played = 0
    while episodes := plan.start_next():
        played += episodes.count
        plan.add(ShardSummary(episodes.first, episodes.count, 0, 0))
    assert played == MAX_REJECTED
    assert plan.give_up_reason == "the last 160 episodes all scored too low"


def test_a_plan_gives_up_if_the_seeds_do_not_suffice():
    everything = ShardSummary(0, DATASET_SEEDS, DATASET_SEEDS, 10)
    plan = TaskPlan(CollectionGoal(steps=10**9), [everything], filtered=False)
    assert plan.start_next() is None
    assert "fewer than 1,000,000,000 steps" in plan.give_up_reason


def test_the_time_left_depends_on_each_tasks_own_speed():
    """Worked by hand: 16 of 32 fast episodes took 8 s, 16 of 48 slow ones 32 s, two at once in 20 s."""
    plans = {name: episode_plan(count, []) for name, count in (("fast", 32), ("slow", 48))}
    progress = CollectProgress(plans, make_console())
    for name, seconds in (("fast", 8.0), ("slow", 32.0)):
        shard = ShardSummary(0, 16, 16, 100)
        plans[name].add(shard)
        progress.add(name, ShardResult(shard, seconds))
    assert progress.seconds_left(20.0) == pytest.approx((16 * 0.5 + 32 * 2.0) / 2)
    plans["new"] = episode_plan(16, [])
    assert progress.seconds_left(20.0) == pytest.approx((16 * 0.5 + 32 * 2.0 + 16 * 40 / 32) / 2)
    assert "0 of 3 tasks · 32 episodes" in progress.line()


def test_a_clock_shows_days():
    assert [clock(59.9), clock(3661), clock(90061)] == ["00:00:59", "01:01:01", "1 d 01:01:01"]
