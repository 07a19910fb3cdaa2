"""A Gato actor's work: roll out the newest weights, have the expert label them, tokenize, pack, write.

After DAgger (Ross et al. 2011, arXiv 1011.0686): what is learned are the expert's actions in the states that the policy
gets itself into.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from actors.evaluate import Evaluator, load_state
from actors.experts.registry import make_expert, policy_provenance
from actors.labelled import LabelFailed, LabelledPolicy
from actors.rollout import EpisodeRecorder, rollout
from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.envs.registry import make_env
from gato_dist.episode import Episode, Provenance, join_steps
from gato_dist.model.gato import Gato
from gato_dist.ports import Labeller, Policy, State, VectorEnv
from gato_dist.scores.references import load_reference
from gato_dist.scores.table import expert_score_fraction
from gato_dist.seeds import SEQUENCES_PER_BLOCK, expert_seeds, first_sequence
from gato_dist.sequence import Sequences
from gato_dist.sources import Source, expert_episodes
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.tokenizer import Tokenizer

PATIENCE = 10  # rounds in which the expert raised errors, one after another
FIGURES = (
    "env_steps", "episodes", "led", "dropped", "imitated", "tokens", "return_sum", "beta",
    "play_seconds", "encode_seconds", "write_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Round:
    """One episode of every environment. beta: the chance that the expert acts in it, and not `policy`."""

    policy: Policy
    version: int
    beta: float


@dataclass(frozen=True)
class Sink:
    """Where episodes of one source go. write: of rows, or of None where a round made none. takes: which of Gato's
    episodes are good enough to be imitated.
    """

    packer: Packer
    write: Callable[[Sequences | None], bool]
    takes: Callable[[Episode], bool]

    def put(self, tokenizer: TaskTokenizer, episodes: list[Episode], version: int) -> tuple[bool, int, float]:
        """Whether it took them, or was told to stop; the tokens of the rows that were written; when they were ready."""
        if not episodes:
            return self.write(None), 0, time.monotonic()
        steps = tokenizer.encode(*join_steps(episodes))
        rows = self.packer.add_episodes(steps, [len(episode) for episode in episodes], version)
        ready = time.monotonic()
        return self.write(rows), rows.tokens if rows is not None else 0, ready


def relabel(
    env: VectorEnv,
    labeller: Labeller | None,
    rounds: Iterator[Round],
    tokenizer: TaskTokenizer,
    sinks: dict[Source, Sink],
    random: np.random.Generator,
) -> Iterator[dict[str, float]]:
    """Plays round after round; yields its running figures after every step of its environments.

    An episode is played by one version of the weights, or by the expert: drawn for each. Without a labeller Gato plays
    all. Episodes in which the expert lost its way, or that it ended with an error, are dropped and counted.
    Ends with the rounds, or when a sink does. Figures: env_steps; episodes that Gato played, led: by the expert,
    dropped, imitated: taken by the sink of Gato's own; return_sum of Gato's; tokens; beta and seconds.
    """
    metrics, failed = dict.fromkeys(FIGURES, 0.0), 0
    for each in rounds:
        led = random.random(len(env.seeds)) < (each.beta if labeller is not None else 0.0)
        policy = LabelledPolicy(each.policy, labeller, led) if labeller is not None else each.policy
        metrics["beta"] = each.beta
        played = _Played(env, policy_provenance(env.spec.name, each.policy, each.version))
        try:
            yield from played.play(policy, metrics)
            failed = 0
        except LabelFailed:
            failed += 1
            if failed == PATIENCE:
                raise
        own, shown = played.kept(~led), played.kept(led)
        metrics["episodes"] += len(own)
        metrics["led"] += len(shown)
        metrics["dropped"] += len(env.seeds) - len(own) - len(shown)
        metrics["return_sum"] += sum(episode.episode_return for episode in own)
        if not _deliver(own, shown, each.version, tokenizer, sinks, metrics):
            return
        yield metrics


def _deliver(
    own: list[Episode],
    shown: list[Episode],
    version: int,
    tokenizer: TaskTokenizer,
    sinks: dict[Source, Sink],
    metrics: dict[str, float],
) -> bool:
    """Puts Gato's own episodes and the expert's where they belong; whether there is more to do."""
    work = []
    if Source.RELABELLED in sinks:
        work += [(Source.RELABELLED, shown, -1), (Source.RELABELLED, own, version)]
    if Source.SELF in sinks:
        good = [replace(each, targets=each.actions) for each in own if sinks[Source.SELF].takes(each)]
        metrics["imitated"] += len(good)
        work.append((Source.SELF, good, version))
    for source, episodes, acted in work:
        began = time.monotonic()
        goes_on, tokens, ready = sinks[source].put(tokenizer, episodes, acted)
        metrics["tokens"] += tokens
        metrics["encode_seconds"] += ready - began
        metrics["write_seconds"] += time.monotonic() - ready
        if not goes_on:
            return False
    return True


class _Played:
    """The first episode of each environment from now on, and which of them lost their expert."""

    def __init__(self, env: VectorEnv, source: Provenance) -> None:
        self._env, self._recorder = env, EpisodeRecorder(env, source)
        self._episodes: list[Episode] = []
        self._lost = np.zeros(len(env.seeds), bool)

    def play(self, policy: Policy, metrics: dict[str, float]) -> Iterator[dict[str, float]]:
        mark = time.monotonic()
        for step in rollout(self._env, policy, once=True):
            self._lost |= step.active & getattr(policy, "lost", False)
            self._episodes += self._recorder.add(step)
            metrics["env_steps"] += float(step.active.sum())
            metrics["play_seconds"] += time.monotonic() - mark
            yield metrics
            mark = time.monotonic()

    def kept(self, where: np.ndarray) -> list[Episode]:
        """Whole episodes of the environments `where` is true, whose expert always knew what to say."""
        seeds = {seed for seed, wanted in zip(self._env.seeds, where & ~self._lost, strict=True) if wanted}
        return [episode for episode in self._episodes if episode.provenance.seed in seeds]


class Rollouts:
    """The environments of a Gato actor, the expert in them, and Gato itself.

    labels: whether there is an expert to label. Worlds are those of an expert's seed block.
    """

    def __init__(self, config: RunConfig, index: int, tokenizer: Tokenizer, block: int, labels: bool) -> None:
        task = config.tasks[index]
        self._config, self._task = config, task.name
        self._seeds = expert_seeds(config.seed, block, config.relabel.num_envs or task.num_envs)
        self.env, self.labeller = _worlds(task, self._seeds, config.actors.threads, labels)
        self.random = np.random.default_rng([config.seed, block])
        self.version, self._rounds = -1, 0
        self._evaluator = Evaluator(config, tokenizer)
        self._model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)

    def load(self, version: int, state: State) -> None:
        load_state(self._model, state)
        self.version = version

    def round(self, progress: float) -> Round:
        """Gato acts as the run evaluates it, with other random numbers in every round."""
        draws = [(seed + self._rounds * len(self._seeds)) % 2**31 for seed in self._seeds]
        self._rounds += 1
        policy = self._evaluator.policy(self._model, self._task, draws, self.version)
        return Round(policy, self.version, expert_episodes(self._config.relabel, progress))


def _worlds(task: TaskConfig, seeds: list[int], threads: int, labels: bool) -> tuple[VectorEnv, Labeller | None]:
    if not labels:
        return make_env(task.name, seeds, threads, task.relabel_steps), None
    made = make_expert(task.name, seeds, threads, task.expert, task.expert_options, task.relabel_steps)
    return made.env, cast(Labeller, made.policy)


@contextmanager
def open_sinks(
    config: RunConfig,
    task: TaskConfig,
    tokenizer: TaskTokenizer,
    sources: list[Source],
    block: int,
    should_stop: Callable[[], bool],
    make_writer: Callable[[str, Callable[[], bool]], Any],
) -> Iterator[dict[Source, Sink]]:
    """A packer and a writer for each source; no row is led by a prompt, which would be no demonstration."""
    with ExitStack() as stack:
        sinks = {}
        for number, source in enumerate(sources):
            items = first_sequence(block) + number * (SEQUENCES_PER_BLOCK // 2)
            packer = Packer(
                tokenizer,
                length=config.tokens.length,
                window_steps=task.window_steps,
                seed=block + number,
                first_item=items,
                keep_repeats=task.keep_repeats,
            )
            writer = stack.enter_context(make_writer(source, should_stop))
            least = config.relabel.self_imitation_threshold if source is Source.SELF else None
            sinks[source] = Sink(packer, writer.write, imitable(task.name, least))
        yield sinks


def imitable(task: str, least: float | None) -> Callable[[Episode], bool]:
    """Whether an episode's expert-score fraction is `least` or more; never where either is not given."""
    reference = load_reference(task)

    def takes(episode: Episode) -> bool:
        score = expert_score_fraction(episode.episode_return, reference.random.mean, reference.expert.mean)
        return least is not None and score is not None and score >= least

    return takes
