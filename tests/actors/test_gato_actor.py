"""A Gato actor without Ray: its environments, the weights that it uses, and when an episode is imitated."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from actors.actor_context import ActorContext
from actors.coordination.weights import PublishedWeights
from actors.gato_actor import GatoRollouts, good_enough, newest_rounds, open_sinks, run_gato_actor
from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.envs.minigrid_vector import MinigridVector
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.model.gato import Gato
from gato_dist.scores.references import load_reference
from gato_dist.sequence import Sequences
from gato_dist.sources import Guidance, Source
from gato_dist.telemetry import GatoActorReport
from gato_dist.training.live import make_tokenizer

TASK = "babyai/go-to-obj"


def never() -> bool:
    return False


def context(
    write: Callable[[Sequences | None], bool] = lambda rows: True,
    report: Callable[[GatoActorReport], None] = lambda report: None,
    should_stop: Callable[[], bool] = never,
) -> ActorContext:
    """An actor whose sequences go to `write`."""
    return ActorContext(
        seed=0,
        seed_block=7,
        open_writer=lambda table, stop: nullcontext(SimpleNamespace(write=write)),
        ready=lambda: None,
        report=report,
        should_stop=should_stop,
    )


def make_config(**relabel) -> RunConfig:
    model = {"width": 16, "layers": 1, "heads": 1, "key_size": 16, "feed_forward": 32}
    tasks = [{"name": TASK, "num_envs": 3}]
    return parse_config({"name": "x", "tasks": tasks, "model": model, "relabel": relabel}, "test")


class FakeRollouts:
    """Keeps which versions were loaded."""

    def __init__(self) -> None:
        self.version, self.loaded = -1, []

    def load(self, version, state) -> None:
        self.version = version
        self.loaded.append((version, state))

    def next_round(self, progress) -> tuple[int, float]:
        return self.version, progress


class FakeFeed:
    """Gives one answer after the other; counts pauses."""

    def __init__(self, answers: list[tuple[float, int | None]]) -> None:
        self._answers, self.pauses = iter(answers), 0

    def latest(self):
        progress, version = next(self._answers)
        if version is None:
            return Guidance(progress), None
        return Guidance(progress, version), PublishedWeights(
            version=version, step=0, reference=f"weights {version}", published=0.0
        )

    def load(self, weights, load) -> None:
        load(weights.reference)

    def pause(self) -> None:
        self.pauses += 1


def test_rounds_wait_for_the_start_of_the_schedule_and_for_weights_and_then_use_the_newest():
    feed, rollouts = FakeFeed([(0.0, None), (0.05, 1), (0.1, 1), (0.2, 1), (0.3, 2)]), FakeRollouts()
    rounds = newest_rounds(rollouts, feed, 0.1, never)
    assert [next(rounds) for _ in range(3)] == [(1, 0.1), (1, 0.2), (2, 0.3)]
    assert feed.pauses == 2
    assert rollouts.loaded == [(1, "weights 1"), (2, "weights 2")]


def test_rounds_end_when_the_run_stops():
    assert list(newest_rounds(FakeRollouts(), FakeFeed([]), 0.0, lambda: True)) == []


def test_a_gato_actor_writes_relabelled_sequences_until_the_run_stops():
    config = make_config(start=0.0)
    tokenizer = make_tokenizer(config)
    model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    written: list[Sequences | None] = []
    reports: list[int] = []

    def write(rows: Sequences | None) -> bool:
        written.append(rows)
        return len(written) < 4

    class Feed(FakeFeed):
        def latest(self):
            return Guidance(1.0, 3), PublishedWeights(version=3, step=0, reference=state, published=0.0)

    actor = context(write, report=lambda report: reports.append(report.env_steps))
    run_gato_actor(config.tasks[0], [Source.RELABELLED], config, tokenizer, feed=Feed([]), context=actor)
    assert len(written) == 4
    assert any(rows is not None and (rows.weights_version == 3).any() for rows in written)
    assert reports == sorted(reports)
    assert reports[-1] > 0


def test_sinks_of_a_tasks_sources_have_different_sequence_ids():
    config = make_config(self_imitation_threshold=0.9)
    tokenizer = make_tokenizer(config).tasks[TASK]
    with open_sinks(config.tasks[0], [Source.RELABELLED, Source.SELF], config, tokenizer, context()) as sinks:
        assert list(sinks) == [Source.RELABELLED, Source.SELF]
        assert sinks[Source.RELABELLED].packer is not sinks[Source.SELF].packer


class Scored:
    def __init__(self, score: float) -> None:
        self.episode_return = score


def test_an_episode_is_imitated_if_its_expert_score_fraction_is_high_enough():
    reference = load_reference("babyai/go-to-red-ball-grey")
    random, expert = reference.random.mean, reference.expert.mean
    accepts = good_enough("babyai/go-to-red-ball-grey", 0.8)
    assert accepts(Scored(random + 0.801 * (expert - random)))
    assert not accepts(Scored(random + 0.799 * (expert - random)))
    assert not good_enough("babyai/go-to-red-ball-grey", None)(Scored(expert))


def first_observations(env) -> tuple[bytes, ...]:
    now = env.reset().observations
    return tuple(np.asarray(now[name]).tobytes() for name in sorted(now))


@pytest.mark.parametrize("task", ["babyai/go-to-local", "metaworld/reach-v3"])
def test_every_round_begins_in_new_levels(task):
    """A reset within an episode, right after its end, or twice in a row begins a new episode."""
    if task.startswith("babyai"):
        env = MinigridVector("BabyAI-GoToLocal-v0", task_spec(task), [0, 1], max_steps=2)
    else:
        env = make_env(task, [0, 1], 1, 2)
    seen = {first_observations(env)}
    action = env.spec.action
    still = np.zeros((2, *action.shape), np.int64 if action.num_values else np.float32)
    for _ in range(2):
        env.step(still)
    seen |= {first_observations(env), first_observations(env)}
    assert len(seen) == 3
    assert not env.step(still).done.any()
    assert env.step(still).done.all()
    env.close()


def test_relabel_num_envs_overrides_the_tasks_num_envs():
    for asked, count in ((None, 3), (5, 5)):
        config = make_config(num_envs=asked)
        tokenizer = make_tokenizer(config)
        rollouts = GatoRollouts(config.tasks[0], config, tokenizer, context(), labels=True)
        try:
            assert len(rollouts.env.seeds) == count
        finally:
            rollouts.env.close()
