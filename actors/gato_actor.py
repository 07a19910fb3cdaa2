"""A Gato actor's work: roll out the newest weights next to the task's expert, and write the episodes to replay."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import numpy as np

from actors.actor_context import ActorContext
from actors.coordination.weights import WeightsFeed
from actors.evaluate import Evaluator, load_state
from actors.experts.registry import make_expert
from actors.relabel import Round, Sink, relabel
from gato_dist.config.run_config import RunConfig
from gato_dist.config.sections import TaskConfig
from gato_dist.envs.registry import make_env
from gato_dist.episode import Episode
from gato_dist.model.gato import Gato
from gato_dist.ports import Policy, State, VectorEnv
from gato_dist.scores.references import load_reference
from gato_dist.scores.table import expert_score_fraction
from gato_dist.seeds import BLOCK_SEQUENCES, expert_seeds, first_sequence
from gato_dist.sources import Source, expert_episodes
from gato_dist.telemetry import GatoActorReport
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.tokenizer import Tokenizer


def run_gato_actor(
    task: TaskConfig,
    sources: Sequence[Source],
    config: RunConfig,
    tokenizer: Tokenizer,
    *,
    feed: WeightsFeed,
    context: ActorContext,
) -> None:
    """Plays a task with the newest weights until the run ends.

    Args:
        task: the task to play.
        sources: the kinds of sequences to write.
        config: the run's configuration.
        tokenizer: the run's tokenizer.
        feed: the newest weights.
        context: the actor's place in the run.
    """
    rollouts = GatoRollouts(task, config, tokenizer, context, labels=Source.RELABELLED in sources)
    counters = GatoActorReport(task=task.name, number=context.seed_block)
    opened = open_sinks(task, sources, config, tokenizer.tasks[task.name], context)
    with closing(rollouts.env), opened as sinks:
        context.ready()
        played = relabel(
            rollouts.env,
            rollouts.labeller,
            newest_rounds(rollouts, feed, config.relabel.start, context.should_stop),
            sinks=sinks,
            random=rollouts.random,
            counters=counters,
        )
        for _ in played:
            context.report(counters)
            if context.should_stop():
                return


class GatoRollouts:
    """The environments of a Gato actor, the task's expert in them, and the model.

    Attributes:
        env: the environments; their seeds are those of an expert's seed block.
        labeller: the expert; None if it does not label.
        random: the actor's random numbers.
        version: the weights version of the model; −1 before the first.
    """

    def __init__(
        self, task: TaskConfig, config: RunConfig, tokenizer: Tokenizer, context: ActorContext, *, labels: bool
    ) -> None:
        self._relabel, self._task = config.relabel, task.name
        self._seeds = expert_seeds(context.seed, context.seed_block, config.relabel.num_envs or task.num_envs)
        self.env, self.labeller = _make_env(task, self._seeds, config.actors.threads, labels)
        self.random = np.random.default_rng([context.seed, context.seed_block])
        self.version, self._rounds = -1, 0
        self._evaluator = Evaluator(config, tokenizer)
        self._model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)

    def load(self, version: int, state: State) -> None:
        load_state(self._model, state)
        self.version = version

    def next_round(self, progress: float) -> Round:
        """Returns the next round: Gato as in evaluation, but with new random numbers.

        Args:
            progress: the share of the run that is over; it decides β.
        """
        draws = [(seed + self._rounds * len(self._seeds)) % 2**31 for seed in self._seeds]
        self._rounds += 1
        policy = self._evaluator.policy(self._model, self._task, draws, self.version)
        return Round(policy=policy, version=self.version, beta=expert_episodes(self._relabel, progress))


def newest_rounds(
    rollouts: GatoRollouts, feed: WeightsFeed, start: float, should_stop: Callable[[], bool]
) -> Iterator[Round]:
    """Yields rounds with the newest weights.

    Args:
        rollouts: makes the rounds.
        feed: the newest weights and the run's progress.
        start: the progress before which no round begins.
        should_stop: whether the run ends.
    """
    while not should_stop():
        guidance, newest = feed.latest()
        if newest is None or guidance.progress < start:
            feed.pause()
            continue
        if (version := newest.version) != rollouts.version:
            feed.load(newest, lambda state, version=version: rollouts.load(version, state))  # type: ignore[misc]
        yield rollouts.next_round(guidance.progress)


@contextmanager
def open_sinks(
    task: TaskConfig, sources: Sequence[Source], config: RunConfig, tokenizer: TaskTokenizer, context: ActorContext
) -> Iterator[dict[Source, Sink]]:
    """Opens a packer and a replay writer per source.

    No sequence begins with a prompt: Gato's own episodes are no demonstrations.
    """
    block = context.seed_block
    with ExitStack() as stack:
        sinks = {}
        for number, source in enumerate(sources):
            first_id = first_sequence(block) + number * (BLOCK_SEQUENCES // 2)
            packer = Packer(
                tokenizer, config.tokens.length, task.window_steps, block + number, first_id, task.keep_repeats
            )
            writer = stack.enter_context(context.open_writer(source, context.should_stop))
            min_fraction = config.relabel.self_return if source is Source.SELF else None
            accepts = good_enough(task.name, min_fraction)
            sinks[source] = Sink(tokenizer=tokenizer, packer=packer, write=writer.write, accepts=accepts)
        yield sinks


def good_enough(task: str, min_fraction: float | None) -> Callable[[Episode], bool]:
    """Returns a test whether an episode's expert-score fraction is at least `min_fraction`.

    The test is never true if `min_fraction` is None or the fraction is undefined.
    """
    reference = load_reference(task)

    def accepts(episode: Episode) -> bool:
        fraction = expert_score_fraction(episode.episode_return, reference.random.mean, reference.expert.mean)
        return min_fraction is not None and fraction is not None and fraction >= min_fraction

    return accepts


def _make_env(task: TaskConfig, seeds: list[int], threads: int, labels: bool) -> tuple[VectorEnv, Policy | None]:
    if not labels:
        return make_env(task.name, seeds, threads, task.relabel_steps), None
    made = make_expert(task.name, seeds, threads, task.expert, task.expert_options, task.relabel_steps)
    return made.env, made.policy
