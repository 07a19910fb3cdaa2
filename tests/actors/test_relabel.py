"""Relabelling without Ray: who acts, which episodes are learned from, and which are dropped."""

from collections.abc import Iterator

import numpy as np
import pytest

from actors.labelled import LabelFailed
from actors.relabel import Round, Sink, relabel
from gato_dist.sequence import Kind, Sequences
from gato_dist.sources import Source
from gato_dist.telemetry import GatoActorReport
from gato_dist.tokens.packing import Packer
from tests.support.fakes import BUTTONS, CountingEnv, EchoPolicy, tokenizer_of

TOKENIZER = tokenizer_of(BUTTONS)
GATO, EXPERT = 2, 1


class Always(EchoPolicy):
    """Takes one action. As a labeller it may be lost in some environments, or raise an error at some call."""

    def __init__(self, action: int, lost: tuple[int, ...] = (), raises_at: int = -1) -> None:
        super().__init__()
        self.action, self.raises_at, self.calls = action, raises_at, 0
        self._gives_up = np.array(lost, int)
        self._lost = np.zeros(3, bool)
        self.asked: list[list[bool]] = []

    def reset(self, env_ids):
        self._lost[env_ids] = False

    def lost(self):
        return self._lost

    def act(self, observations, info, active):
        return np.full(len(active), self.action)

    def label(self, observations, active):
        self.asked.append(active.tolist())
        self.calls += 1
        if self.calls == self.raises_at or self.raises_at == 0:
            raise ZeroDivisionError("the bot divides by zero")
        self._lost[self._gives_up] = True
        return self.act(observations, {}, active)


class Light(CountingEnv):
    """Gives observations that the tokenizer of BUTTONS can encode."""

    def _now(self, rewards, done):
        now = super()._now(rewards, done)
        now.observations["light"] = now.observations["light"] % 3
        return now


def sink(written: list[Sequences], accepts=lambda episode: True, room: int = 10**9) -> Sink:
    def write(rows: Sequences | None) -> bool:
        written.append(rows)
        return len(written) < room

    return Sink(tokenizer=TOKENIZER, packer=Packer(TOKENIZER, 16, 1, 0), write=write, accepts=accepts)


def gato_rounds(betas: list[float]) -> Iterator[Round]:
    return (Round(policy=Always(GATO), version=7 + i, beta=beta) for i, beta in enumerate(betas))


def play(labeller, betas: list[float], accepts=None) -> tuple[GatoActorReport, dict[Source, list]]:
    written: dict[Source, list] = {source: [] for source in Source}
    sinks = {Source.RELABELLED: sink(written[Source.RELABELLED])}
    if accepts is not None:
        sinks[Source.SELF] = sink(written[Source.SELF], accepts)
    counters, random = GatoActorReport(task=BUTTONS.name, number=0), np.random.default_rng(0)
    env = Light(BUTTONS, [2, 3, 4])
    for _ in relabel(env, labeller, gato_rounds(betas), sinks=sinks, random=random, counters=counters):
        pass
    for source, each in sinks.items():
        written[source].append(each.packer.flush())
    return counters, {source: [rows for rows in parts if rows is not None] for source, parts in written.items()}


def targets(parts: list[Sequences]) -> set[int]:
    offset = TOKENIZER.action_offset
    return {int(token) - offset for rows in parts for token in (rows.token + rows.correction)[rows.kind == Kind.ACTION]}


def test_gato_acts_the_expert_labels_and_sequences_record_the_weights_version():
    expert = Always(EXPERT)
    counters, written = play(expert, [0.0, 0.0])
    assert (counters.episodes, counters.expert_episodes, counters.dropped, counters.env_steps) == (6, 0, 0, 18)
    assert targets(written[Source.RELABELLED]) == {EXPERT}
    versions = np.concatenate([rows.weights_version for rows in written[Source.RELABELLED]])
    assert (versions.min(), versions.max()) == (7, 8)
    # The expert is not asked about finished episodes.
    assert expert.asked[:4] == [[True] * 3, [True] * 3, [False, True, True], [False, False, True]]


def test_the_expert_acts_in_a_share_beta_of_episodes():
    counters, written = play(Always(EXPERT), [1.0] * 3)
    assert (counters.episodes, counters.expert_episodes) == (0, 9)
    assert all((rows.weights_version == -1).all() for rows in written[Source.RELABELLED])
    counters, _ = play(Always(EXPERT), [0.5] * 100)
    # 300 draws: a standard deviation of 0.03.
    assert counters.expert_episodes / 300 == pytest.approx(0.5, abs=0.1)


def test_episodes_in_which_the_expert_is_lost_are_dropped():
    counters, written = play(Always(EXPERT, lost=(1,)), [0.0] * 4)
    assert (counters.episodes, counters.dropped) == (8, 4)
    # Those of two and four steps, not the one of three.
    assert sum(int(rows.loss_mask.sum()) for rows in written[Source.RELABELLED]) == 4 * (2 + 4)


def test_an_error_of_the_expert_drops_only_the_episodes_that_it_interrupted():
    counters, _ = play(Always(EXPERT, raises_at=3), [0.0] * 2)
    assert (counters.episodes, counters.dropped) == (1 + 3, 2)


def test_an_expert_that_always_raises_an_error_ends_the_actor():
    with pytest.raises(LabelFailed, match="ZeroDivisionError: the bot divides by zero"):
        play(Always(EXPERT, raises_at=0), [0.0] * 100)


def test_good_episodes_of_gato_are_imitated_with_or_without_labels():
    for labeller in (Always(EXPERT), None):
        counters, written = play(labeller, [0.0], accepts=lambda episode: episode.episode_return >= 3)
        assert counters.imitated == 2
        assert targets(written[Source.SELF]) == {GATO}
        assert sum(int(rows.loss_mask.sum()) for rows in written[Source.SELF]) == 3 + 4


def test_relabelling_ends_when_a_sink_stops():
    written: list[Sequences] = []
    sinks = {Source.RELABELLED: sink(written, room=2)}
    counters, random = GatoActorReport(task=BUTTONS.name, number=0), np.random.default_rng(0)
    env, rounds = Light(BUTTONS, [2, 3, 4]), gato_rounds([0.0] * 1000)
    list(relabel(env, Always(EXPERT), rounds, sinks=sinks, random=random, counters=counters))
    assert len(written) == 2
