"""Which shards a goal needs does not depend on who plays them in which order."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_dist.datasets.collect_plan import HOPELESS, SHARD, Block, Goal, Span, TaskPlan
from gato_dist.datasets.collect_progress import CollectProgress, clock
from gato_dist.datasets.collect_shard import Made
from gato_dist.seeds import DATASET_SEEDS
from gato_dist.utils.console import make_console

LONGEST = 30


def world(seed: int, filtered: bool):
    """Steps of each episode, 0 where it is dropped: the same for whoever plays it."""
    return lambda i: 0 if filtered and random.Random(f"{seed} {i}").random() < 0.4 else 1 + hash((seed, i)) % LONGEST


def play(block: Block, length) -> Span:
    steps = [length(i) for i in range(block.first, block.first + block.count)]
    return Span(block.first, block.count, sum(s > 0 for s in steps), sum(steps))


def collected(goal: Goal, filtered: bool, longest: int, length, workers: int, order: random.Random) -> list[Span]:
    """What is left of a collection by so many workers, whose shards end in any order."""
    plan, running, held = TaskPlan(goal, filtered, longest, []), [], {}
    while True:
        while len(running) < workers and (block := plan.take()):
            running.append(block)
        if not running:
            break
        span = play(running.pop(order.randrange(len(running))), length)
        held[span.first] = span
        plan.add(span)
    assert plan.complete
    for first in plan.surplus():
        del held[first]
    again = TaskPlan(goal, filtered, longest, list(held.values()))
    assert (again.complete, again.take(), again.surplus()) == (True, None, [])
    return [held[first] for first in sorted(held)]


@settings(max_examples=60)
@given(
    goal=st.one_of(
        st.builds(Goal, episodes=st.integers(1, 120)), st.builds(Goal, steps=st.integers(1, 2000)),
        st.builds(Goal, st.integers(1, 120), st.integers(1, 2000)),
    ),
    filtered=st.booleans(), longest=st.sampled_from([0, LONGEST]), workers=st.integers(2, 9), seed=st.integers(0, 99),
)  # fmt: skip
def test_many_workers_leave_what_one_leaves(goal, filtered, longest, workers, seed):
    length = world(seed, filtered)
    alone = collected(goal, filtered, longest, length, 1, random.Random(0))
    assert collected(goal, filtered, longest, length, workers, random.Random(seed)) == alone
    assert sum(span.kept for span in alone) >= goal.episodes
    assert sum(span.steps for span in alone) >= goal.steps
    # The last shard was needed.
    before = alone[:-1]
    assert sum(s.kept for s in before) < goal.episodes or sum(s.steps for s in before) < goal.steps
    if not filtered and not goal.steps:
        assert sum(span.count for span in alone) == goal.episodes


def test_one_worker_plays_no_shard_too_many():
    length = world(5, True)
    plan = TaskPlan(Goal(steps=900), True, LONGEST, [])
    while block := plan.take():
        plan.add(play(block, length))
    assert (plan.complete, plan.surplus()) == (True, [])


def test_a_collection_that_grows_keeps_what_is_there():
    held = [Span(0, 16, 16, 160), Span(16, 4, 4, 40)]
    plan = TaskPlan(Goal(episodes=40), False, 0, held)
    assert [plan.take() for _ in range(3)] == [Block(20, 12), Block(32, 8), None]
    hole = TaskPlan(Goal(episodes=40), False, 0, [Span(20, 12, 12, 120)])
    assert [hole.take() for _ in range(4)] == [Block(0, 16), Block(16, 4), Block(32, 8), None]
    assert TaskPlan(Goal(episodes=18), False, 0, held).take() is None


def test_what_was_played_twice_over_is_surplus():
    plan = TaskPlan(Goal(episodes=32), False, 0, [Span(0, 16, 16, 1), Span(16, 16, 16, 1), Span(20, 12, 12, 1)])
    assert plan.surplus() == [20]


def test_before_an_episode_was_seen_no_more_is_played_than_is_certainly_needed():
    plan = TaskPlan(Goal(steps=3 * SHARD * LONGEST + 1), False, LONGEST, [])
    assert [plan.take() for _ in range(5)][3:] == [Block(48, 16), None]
    unknown = TaskPlan(Goal(steps=10**6), False, 0, [])
    assert [unknown.take(), unknown.take()] == [Block(0, 16), None]


def test_a_filter_that_nothing_passes_ends():
    plan = TaskPlan(Goal(episodes=5), True, 0, [Span(0, SHARD, 1, 9)])
    taken = []
    while block := plan.take():
        taken.append(block)
        plan.add(Span(block.first, block.count, 0, 0))
    assert len(taken) * SHARD == HOPELESS
    assert "of 160 episodes in a row none" in plan.stuck


def test_a_goal_that_no_seed_can_reach_ends():
    plan = TaskPlan(Goal(steps=10**9), False, 0, [Span(0, DATASET_SEEDS, DATASET_SEEDS, 10)])
    assert plan.take() is None
    assert "draws no more" in plan.stuck


def test_the_time_that_is_left_counts_each_tasks_own_speed():
    """Worked by hand: 16 of 32 fast episodes took 8 s, 16 of 48 slow ones 32 s, two at once in 20 s."""
    plans = {name: TaskPlan(Goal(episodes=count), False, 0, []) for name, count in (("fast", 32), ("slow", 48))}
    progress = CollectProgress(plans, make_console())
    for name, seconds in (("fast", 8.0), ("slow", 32.0)):
        span = Span(0, 16, 16, 100)
        plans[name].add(span)
        progress.add(name, Made(span, seconds))
    assert progress.seconds_left(20.0) == pytest.approx((16 * 0.5 + 32 * 2.0) / 2)
    plans["new"] = TaskPlan(Goal(episodes=16), False, 0, [])
    assert progress.seconds_left(20.0) == pytest.approx((16 * 0.5 + 32 * 2.0 + 16 * 40 / 32) / 2)
    assert "0 of 3 tasks · 32 episodes" in progress.line()


def test_a_clock_has_days():
    assert [clock(59.9), clock(3661), clock(90061)] == ["00:00:59", "01:01:01", "1 d 01:01:01"]
