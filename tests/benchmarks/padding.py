"""Share of padding in sequences, for each task of quickstart: python -m tests.benchmarks.padding

Episodes of random values in the tasks' own layouts, 40 of 200 steps each; text is a mission of six words.
"""

import numpy as np

from gato_dist.envs.registry import task_spec
from gato_dist.specs import Modality, TaskSpec
from gato_dist.tasks import match_tasks
from gato_dist.tokens.layout import Statistics, TaskTokenizer
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary

TASKS = "ale/pong,procgen/coinrun,dm_control/cartpole-swingup,metaworld/reach-v3,babyai/go-to-red-ball-grey"
STEPS, EPISODES, LENGTH = 200, 40, 1024


def observations(spec: TaskSpec, rng: np.random.Generator) -> dict:
    values: dict = {}
    for part in spec.observations:
        shape = (STEPS, *part.shape)
        if part.modality is Modality.TEXT:
            values[part.name] = ["go to the grey ball ahead"] * STEPS
        elif part.modality is Modality.IMAGE:
            values[part.name] = rng.integers(256, size=shape, dtype=np.uint8)
        elif part.modality is Modality.DISCRETE:
            values[part.name] = rng.integers(part.num_values, size=shape)
        else:
            values[part.name] = rng.normal(size=shape)
    return values


def padding(task: str, encoding: str) -> float:
    """Returns the share of padding in full sequences."""
    spec, rng = task_spec(task), np.random.default_rng(0)
    continuous = [part for part in spec.observations if part.modality is Modality.CONTINUOUS]
    statistics = {part.name: Statistics(np.zeros(part.size), np.ones(part.size)) for part in continuous}
    tokenizer = TaskTokenizer(
        spec, Vocabulary(32000, "paper"), TextTokenizer.load(), encoding, statistics=statistics, tensor_size=512
    )
    packer = Packer(tokenizer, length=LENGTH, window_steps=0, seed=0)
    filled = whole = 0
    for _ in range(EPISODES):
        actions = np.zeros((STEPS, *spec.action.shape))
        sequences = packer.add(tokenizer.encode(observations(spec, rng), actions))
        if sequences is not None:
            filled, whole = filled + sequences.tokens, whole + len(sequences) * LENGTH
    return 1 - filled / whole


def main() -> None:
    print(f"padding in sequences of {LENGTH} tokens")
    for task in match_tasks(TASKS):
        print(f"{task:32} paper {padding(task, 'paper'):6.1%}   compact {padding(task, 'compact'):6.1%}")


if __name__ == "__main__":
    main()
