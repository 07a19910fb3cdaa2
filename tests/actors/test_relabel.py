"""A Gato actor's rounds, without Ray: who acts, what is learned, and what is dropped."""

from collections.abc import Iterator

import numpy as np
import pytest

from actors.labelled import LabelFailed
from actors.relabel import Rollouts, Round, Sink, imitable, relabel
from gato_dist.config.run_config import parse_config
from gato_dist.envs.minigrid_python import MinigridVector
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.scores.references import load_reference
from gato_dist.sequence import Kind, Sequences
from gato_dist.sources import Source
from gato_dist.tokens.packing import Packer
from gato_dist.training.tokenizer import make_tokenizer
from tests.support.fakes import BUTTONS, CountingEnv, EchoPolicy, tokenizer_of

TOKENIZER = tokenizer_of(BUTTONS)
GATO, EXPERT = 2, 1


class Always(EchoPolicy):
    """Does one thing; as a labeller it may be lost in some environments, or raise from some call on."""

    def __init__(self, action: int, lost: tuple[int, ...] = (), raises_at: int = -1) -> None:
        super().__init__()
        self.action, self.raises_at, self.calls = action, raises_at, 0
        self._gives_up = np.array(lost, int)
        self.lost = np.zeros(3, bool)
        self.asked: list[list[bool]] = []

    def reset(self, env_ids):
        self.lost[env_ids] = False

    def act(self, observations, info, active):
        return np.full(len(active), self.action)

    def label(self, observations, active):
        self.asked.append(active.tolist())
        self.calls += 1
        if self.calls == self.raises_at or self.raises_at == 0:
            raise ZeroDivisionError("the bot divides by zero")
        self.lost[self._gives_up] = True
        return self.act(observations, {}, active)


class Light(CountingEnv):
    """Observations that BUTTONS' tokenizer can hold."""

    def _now(self, rewards, done):
        now = super()._now(rewards, done)
        now.observations["light"] = now.observations["light"] % 3
        return now


def sink(written: list[Sequences], takes=lambda episode: True, room: int = 10**9) -> Sink:
    def write(rows: Sequences | None) -> bool:
        written.append(rows)
        return len(written) < room

    return Sink(Packer(TOKENIZER, 16, 1, 0), write, takes)


def play(labeller, betas: list[float], takes=None, lengths=(2, 3, 4)) -> tuple[dict[str, float], dict[Source, list]]:
    written: dict[Source, list] = {source: [] for source in Source}
    sinks = {Source.RELABELLED: sink(written[Source.RELABELLED])}
    if takes is not None:
        sinks[Source.SELF] = sink(written[Source.SELF], takes)
    rounds: Iterator[Round] = (Round(Always(GATO), 7 + i, beta) for i, beta in enumerate(betas))
    metrics: dict[str, float] = {}
    random = np.random.default_rng(0)
    for metrics in relabel(Light(BUTTONS, list(lengths)), labeller, rounds, TOKENIZER, sinks, random):  # noqa: B007
        pass
    for source, each in sinks.items():
        written[source].append(each.packer.flush())
    return metrics, {source: [rows for rows in parts if rows is not None] for source, parts in written.items()}


def targets(parts: list[Sequences]) -> set[int]:
    offset = TOKENIZER.action_offset
    return {int(token) - offset for rows in parts for token in (rows.token + rows.correction)[rows.kind == Kind.ACTION]}


def test_gato_acts_the_expert_labels_and_rows_carry_the_version_that_acted():
    expert = Always(EXPERT)
    metrics, written = play(expert, [0.0, 0.0])
    assert (metrics["episodes"], metrics["led"], metrics["dropped"], metrics["env_steps"]) == (6, 0, 0, 18)
    assert targets(written[Source.RELABELLED]) == {EXPERT}
    versions = np.concatenate([rows.weights_version for rows in written[Source.RELABELLED]])
    assert (versions.min(), versions.max()) == (7, 8)
    # A world whose episode is over is nothing to be asked about.
    assert expert.asked[:4] == [[True] * 3, [True] * 3, [False, True, True], [False, False, True]]


def test_the_expert_acts_in_its_share_of_episodes():
    metrics, written = play(Always(EXPERT), [1.0] * 3)
    assert (metrics["episodes"], metrics["led"]) == (0, 9)
    assert all((rows.weights_version == -1).all() for rows in written[Source.RELABELLED])
    metrics, _ = play(Always(EXPERT), [0.5] * 100)
    # 300 draws: a standard deviation of 0.03.
    assert metrics["led"] / 300 == pytest.approx(0.5, abs=0.1)


def test_episodes_in_which_the_expert_gives_up_are_dropped_and_counted():
    metrics, written = play(Always(EXPERT, lost=(1,)), [0.0] * 4)
    assert (metrics["episodes"], metrics["dropped"]) == (8, 4)
    # Those of two and four steps, not the one of three.
    assert sum(int(rows.loss_mask.sum()) for rows in written[Source.RELABELLED]) == 4 * (2 + 4)


def test_an_error_of_the_expert_costs_the_episodes_that_it_broke_into_alone():
    metrics, _ = play(Always(EXPERT, raises_at=3), [0.0] * 2)
    assert (metrics["episodes"], metrics["dropped"]) == (1 + 3, 2)


def test_an_expert_that_always_fails_is_not_asked_for_ever():
    with pytest.raises(LabelFailed, match="ZeroDivisionError: the bot divides by zero"):
        play(Always(EXPERT, raises_at=0), [0.0] * 100)


def test_good_episodes_of_its_own_are_imitated_with_or_without_labels():
    for labeller in (Always(EXPERT), None):
        metrics, written = play(labeller, [0.0], takes=lambda episode: episode.episode_return >= 3)
        assert metrics["imitated"] == 2
        assert targets(written[Source.SELF]) == {GATO}
        assert sum(int(rows.loss_mask.sum()) for rows in written[Source.SELF]) == 3 + 4


class Scored:
    def __init__(self, score: float) -> None:
        self.episode_return = score


def test_an_episode_is_imitated_from_its_fraction_of_the_expert_on():
    reference = load_reference("babyai/go-to-red-ball-grey")
    random, expert = reference.random.mean, reference.expert.mean
    takes = imitable("babyai/go-to-red-ball-grey", 0.8)
    assert takes(Scored(random + 0.801 * (expert - random)))
    assert not takes(Scored(random + 0.799 * (expert - random)))
    assert not imitable("babyai/go-to-red-ball-grey", None)(Scored(expert))


def test_it_ends_where_replay_says_stop():
    written: list[Sequences] = []
    rounds = (Round(Always(GATO), 1, 0.0) for _ in range(1000))
    sinks = {Source.RELABELLED: sink(written, room=2)}
    list(relabel(Light(BUTTONS, [2, 3, 4]), Always(EXPERT), rounds, TOKENIZER, sinks, np.random.default_rng(0)))
    assert len(written) == 2


def worlds(env) -> tuple[bytes, ...]:
    now = env.reset().observations
    return tuple(np.asarray(now[name]).tobytes() for name in sorted(now))


@pytest.mark.parametrize("task", ["babyai/go-to-local", "metaworld/reach-v3"])
def test_a_round_begins_in_worlds_that_the_one_before_did_not_see(task):
    """Reset in the middle, right after an end, or twice: the next step is the new episode's first."""
    if task.startswith("babyai"):
        env = MinigridVector("BabyAI-GoToLocal-v0", task_spec(task), [0, 1], max_steps=2)
    else:
        env = make_env(task, [0, 1], 1, 2)
    seen = {worlds(env)}
    action = env.spec.action
    still = np.zeros((2, *action.shape), np.int64 if action.num_values else np.float32)
    for _ in range(2):
        env.step(still)
    seen |= {worlds(env), worlds(env)}
    assert len(seen) == 3
    assert not env.step(still).done.any()
    assert env.step(still).done.all()
    env.close()


def test_a_gato_actor_steps_as_many_environments_as_it_is_given():
    data = {"name": "x", "tasks": [{"name": "babyai/go-to-obj", "num_envs": 3}], "model": {"width": 32, "heads": 1}}
    for asked, count in ((None, 3), (5, 5)):
        config = parse_config(data | {"relabel": {"num_envs": asked}}, "test")
        tokenizer = make_tokenizer(config)
        rollouts = Rollouts(config, 0, tokenizer, block=7, labels=True)
        try:
            assert len(rollouts.env.seeds) == count
        finally:
            rollouts.env.close()
