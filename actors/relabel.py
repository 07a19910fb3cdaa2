"""Relabelling: Gato acts, the expert labels Gato's observations with its own actions, and both go to replay.

After DAgger (Ross et al. 2011, arXiv 1011.0686): the learner sees the expert's actions in states that Gato itself
reaches.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from actors.experts.demonstrator import policy_provenance
from actors.labelled import LabelFailed, LabelledPolicy
from actors.rollout import EpisodeRecorder, rollout
from gato_dist.episode import Episode, Provenance, join_steps
from gato_dist.ports import Policy, VectorEnv
from gato_dist.sequence import Sequences
from gato_dist.sources import Source
from gato_dist.telemetry import GatoActorReport
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer

MAX_FAILED_ROUNDS = 10  # in a row


@dataclass(frozen=True, kw_only=True)
class Round:
    """One episode of every environment.

    Attributes:
        policy: Gato with one version of the weights.
        version: the weights version.
        beta: the probability that the expert acts in an episode instead of Gato.
    """

    policy: Policy
    version: int
    beta: float


@dataclass(frozen=True, kw_only=True)
class Sink:
    """Turns episodes of one source into sequences and writes them.

    Attributes:
        tokenizer: the task's tokenizer.
        packer: packs encoded episodes into sequences.
        write: writes sequences, or None if there are none; returns False if the run ends.
        accepts: whether an episode of Gato is good enough to be imitated.
    """

    tokenizer: TaskTokenizer
    packer: Packer
    write: Callable[[Sequences | None], bool]
    accepts: Callable[[Episode], bool]

    def put(self, episodes: list[Episode], version: int, counters: GatoActorReport) -> bool:
        """Writes episodes in which `version` of the weights acted (−1: the expert).

        Returns:
            Whether to go on: False if the run ends.
        """
        began = time.monotonic()
        sequences = self._pack(episodes, version) if episodes else None
        packed = time.monotonic()
        goes_on = self.write(sequences)
        counters.tokens += sequences.tokens if sequences is not None else 0
        counters.encode_seconds += packed - began
        counters.write_seconds += time.monotonic() - packed
        return goes_on

    def _pack(self, episodes: list[Episode], version: int) -> Sequences | None:
        steps = self.tokenizer.encode(*join_steps(episodes))
        return self.packer.add_episodes(steps, [len(episode) for episode in episodes], version)


def relabel(
    env: VectorEnv,
    labeller: Policy | None,
    rounds: Iterator[Round],
    *,
    sinks: Mapping[Source, Sink],
    random: np.random.Generator,
    counters: GatoActorReport,
) -> Iterator[None]:
    """Plays round after round. Yields after every step of the environments and after every round.

    An episode is played by Gato or by the expert, which is drawn for each episode. Episodes in which the expert was
    lost or raised an error are dropped. Ends with the rounds, or if a sink stops.

    Args:
        env: the environments.
        labeller: the expert that labels; None: Gato plays all episodes and nothing is labelled.
        rounds: the policies to play.
        sinks: where episodes of each source go.
        random: draws who acts.
        counters: updated before every yield.

    Raises:
        LabelFailed: if the expert raised errors in `MAX_FAILED_ROUNDS` rounds in a row.
    """
    failed = 0
    for round_ in rounds:
        counters.beta = round_.beta
        expert_acts = random.random(len(env.seeds)) < (round_.beta if labeller is not None else 0.0)
        policy = LabelledPolicy(round_.policy, labeller, expert_acts) if labeller is not None else round_.policy
        played = _PlayedRound(env, policy_provenance(env.spec.name, round_.policy, round_.version))
        try:
            yield from played.play(policy, counters)
            failed = 0
        except LabelFailed:
            failed += 1
            if failed == MAX_FAILED_ROUNDS:
                raise
        by_gato, by_expert = played.kept(~expert_acts), played.kept(expert_acts)
        counters.episodes += len(by_gato)
        counters.expert_episodes += len(by_expert)
        counters.dropped += len(env.seeds) - len(by_gato) - len(by_expert)
        counters.return_sum += sum(episode.episode_return for episode in by_gato)
        if not _deliver(by_gato, by_expert, round_.version, sinks=sinks, counters=counters):
            return
        yield


def _deliver(
    by_gato: list[Episode],
    by_expert: list[Episode],
    version: int,
    *,
    sinks: Mapping[Source, Sink],
    counters: GatoActorReport,
) -> bool:
    """Writes a round's episodes to their sinks; returns whether to go on."""
    if (sink := sinks.get(Source.RELABELLED)) is not None and not (
        sink.put(by_expert, -1, counters) and sink.put(by_gato, version, counters)
    ):
        return False
    if (sink := sinks.get(Source.SELF)) is not None:
        good = [replace(episode, targets=episode.actions) for episode in by_gato if sink.accepts(episode)]
        counters.imitated += len(good)
        return sink.put(good, version, counters)
    return True


class _PlayedRound:
    """The episodes of one round, and the environments in which the expert was lost."""

    def __init__(self, env: VectorEnv, provenance: Provenance) -> None:
        self._env, self._recorder = env, EpisodeRecorder(env, provenance)
        self._episodes: list[Episode] = []
        self._lost = np.zeros(len(env.seeds), bool)

    def play(self, policy: Policy, counters: GatoActorReport) -> Iterator[None]:
        mark = time.monotonic()
        for step in rollout(self._env, policy, once=True):
            self._lost |= step.active & policy.lost()
            self._episodes += self._recorder.add(step)
            counters.env_steps += int(step.active.sum())
            counters.play_seconds += time.monotonic() - mark
            yield
            mark = time.monotonic()

    def kept(self, chosen: np.ndarray) -> list[Episode]:
        """Returns the finished episodes of the chosen environments (bool [N]) whose expert was never lost."""
        seeds = {seed for seed, wanted in zip(self._env.seeds, chosen & ~self._lost, strict=True) if wanted}
        return [episode for episode in self._episodes if episode.provenance.seed in seeds]
