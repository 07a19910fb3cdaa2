"""An expert actor's work: play a task, tokenize the episodes, pack them into sequences and write these to replay."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from actors.actor_context import ActorContext
from actors.experts.demonstrator import Demonstrator
from actors.experts.registry import make_demonstrator
from actors.rollout import EpisodeRecorder, rollout
from gato_dist.config.data_sections import TaskConfig, TokensConfig
from gato_dist.config.process_sections import ActorsConfig
from gato_dist.episode import EpisodeBatcher, join_steps
from gato_dist.seeds import expert_seeds, first_sequence
from gato_dist.sequence import Sequences
from gato_dist.telemetry import ExpertReport
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer, Prompting


def run_expert(
    task: TaskConfig,
    tokenizer: TaskTokenizer,
    context: ActorContext,
    *,
    copy: int,
    actors: ActorsConfig,
    tokens: TokensConfig,
) -> None:
    """Demonstrates a task until the run ends.

    Args:
        task: the task to play.
        tokenizer: the task's tokenizer.
        context: the actor's place in the run.
        copy: the number of this expert among those of the task.
        actors: settings of expert actors.
        tokens: settings of sequences.
    """
    block = context.seed_block
    demonstrator = make_demonstrator(task, expert_seeds(context.seed, block, task.num_envs), actors.threads)
    prompting = Prompting(tokens.prompt_share, tokens.prompt_tokens)
    packer = Packer(
        tokenizer,
        length=tokens.length,
        window_steps=task.window_steps,
        seed=block,
        first_item=first_sequence(block),
        keep_repeats=task.keep_repeats,
        prompting=prompting,
    )
    counters = ExpertReport(task=task.name, number=copy)
    with closing(demonstrator.env), context.open_writer(task.name, context.should_stop) as writer:
        context.ready()
        for _ in demonstrate(demonstrator, tokenizer, packer, writer.write, counters=counters):
            context.report(counters)
            if context.should_stop():
                return


def demonstrate(
    demonstrator: Demonstrator,
    tokenizer: TaskTokenizer,
    packer: Packer,
    write: Callable[[Sequences], bool],
    *,
    counters: ExpertReport,
) -> Iterator[None]:
    """Writes the expert's episodes. Yields after every step of the environments; ends if `write` returns False.

    Args:
        demonstrator: the expert and its environments.
        tokenizer: the task's tokenizer.
        packer: packs encoded episodes into sequences.
        write: writes sequences.
        counters: updated before every yield.
    """
    recorder = EpisodeRecorder(demonstrator.env, demonstrator.provenance())
    gathering = EpisodeBatcher()
    mark = time.monotonic()
    for step in rollout(demonstrator.env, demonstrator.policy):
        ended = recorder.add(step)
        counters.env_steps += int(step.active.sum())
        counters.play_seconds += time.monotonic() - mark
        for episodes in gathering.add(ended):
            mark = time.monotonic()
            sequences = packer.add_episodes(
                tokenizer.encode(*join_steps(episodes)), [len(episode) for episode in episodes]
            )
            counters.episodes += len(episodes)
            counters.return_sum += sum(episode.episode_return for episode in episodes)
            encoded = time.monotonic()
            counters.encode_seconds += encoded - mark
            if sequences is not None:
                if not write(sequences):
                    return
                counters.tokens += sequences.tokens
            counters.write_seconds += time.monotonic() - encoded
        yield
        mark = time.monotonic()
