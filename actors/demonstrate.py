"""An expert actor's work: play, tokenize, pack, write, as long as replay has room."""

import time
from collections.abc import Callable, Iterator

from actors.experts.registry import Demonstrator
from actors.rollout import EpisodeRecorder, rollout
from gato_dist.episode import Gathering, join_steps
from gato_dist.sequence import Rows
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer

Figures = dict[str, float]


def demonstrate(
    demonstrator: Demonstrator, tokenizer: TaskTokenizer, packer: Packer, write: Callable[[Rows], bool]
) -> Iterator[Figures]:
    """Streams the expert's episodes into `write`; yields its running figures after every step of its environments.

    Ends when `write` returns False. Figures: env_steps, episodes, tokens, return_sum and where the seconds went:
    play (environments and expert), encode (tokens), write (replay, waiting for room included).
    """
    names = ("env_steps", "episodes", "tokens", "return_sum", "play_seconds", "encode_seconds", "write_seconds")
    figures = dict.fromkeys(names, 0.0)
    recorder = EpisodeRecorder(demonstrator.env, demonstrator.provenance())
    gathering = Gathering()
    mark = time.monotonic()
    for step in rollout(demonstrator.env, demonstrator.policy):
        ended = recorder.add(step)
        figures["env_steps"] += float(step.active.sum())
        figures["play_seconds"] += time.monotonic() - mark
        for group in gathering.add(ended):
            mark = time.monotonic()
            rows = packer.add_episodes(tokenizer.encode(*join_steps(group)), [len(episode) for episode in group])
            figures["episodes"] += len(group)
            figures["return_sum"] += sum(episode.episode_return for episode in group)
            encoded = time.monotonic()
            figures["encode_seconds"] += encoded - mark
            if rows is not None:
                if not write(rows):
                    return
                figures["tokens"] += rows.tokens
            figures["write_seconds"] += time.monotonic() - encoded
        yield figures
        mark = time.monotonic()
