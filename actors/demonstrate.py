"""An expert actor's work: play, tokenize, pack, write, as long as replay has room."""

import time
from collections.abc import Callable, Iterator

from actors.experts.registry import Demonstrator
from actors.rollout import EpisodeRecorder, rollout
from gato_dist.episode import EpisodeBatcher, join_steps
from gato_dist.sequence import Sequences
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer

Figures = dict[str, float]


def demonstrate(
    demonstrator: Demonstrator, tokenizer: TaskTokenizer, packer: Packer, write: Callable[[Sequences], bool]
) -> Iterator[Figures]:
    """Streams the expert's episodes into `write`; yields its running figures after every step of its environments.

    Ends when `write` returns False. Figures: env_steps, episodes, tokens, return_sum and where the seconds went:
    play (environments and expert), encode (tokens), write (replay, waiting for room included).
    """
    names = ("env_steps", "episodes", "tokens", "return_sum", "play_seconds", "encode_seconds", "write_seconds")
    metrics = dict.fromkeys(names, 0.0)
    recorder = EpisodeRecorder(demonstrator.env, demonstrator.provenance())
    gathering = EpisodeBatcher()
    mark = time.monotonic()
    for step in rollout(demonstrator.env, demonstrator.policy):
        ended = recorder.add(step)
        metrics["env_steps"] += float(step.active.sum())
        metrics["play_seconds"] += time.monotonic() - mark
        for group in gathering.add(ended):
            mark = time.monotonic()
            rows = packer.add_episodes(tokenizer.encode(*join_steps(group)), [len(episode) for episode in group])
            metrics["episodes"] += len(group)
            metrics["return_sum"] += sum(episode.episode_return for episode in group)
            encoded = time.monotonic()
            metrics["encode_seconds"] += encoded - mark
            if rows is not None:
                if not write(rows):
                    return
                metrics["tokens"] += rows.tokens
            metrics["write_seconds"] += time.monotonic() - encoded
        yield metrics
        mark = time.monotonic()
