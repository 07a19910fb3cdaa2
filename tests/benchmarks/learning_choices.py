"""The effect of encoding, window and targets on a small machine: python -m tests.benchmarks.learning_choices

Three tasks of two suites in one model, three seeds, the same demonstrations and the same seconds of training on one
core for every choice; then greedy evaluation on the evaluation seeds. Prints a Markdown table of expert-score
fractions.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context

import numpy as np

TASKS = {"metaworld/reach-v3": 24, "metaworld/drawer-open-v3": 24, "babyai/go-to-red-ball-grey": 300}  # episodes
MODEL = {"width": 128, "layers": 3, "heads": 4, "key_size": 32, "feed_forward": 512}
# name: tokens.encoding, steps of a window (0: as many as 128 tokens hold), past actions, spread of targets in bins
CHOICES = {
    "paper, 2 steps, shown": ("paper", 2, "shown", 0),
    "paper, 1 step": ("paper", 1, "shown", 0),
    "compact, all that fit, shown": ("compact", 0, "shown", 0),
    "compact, 3 steps, shown": ("compact", 3, "shown", 0),
    "compact, 3 steps, dropped": ("compact", 3, "dropped", 0),
    "compact, 3 steps, masked": ("compact", 3, "masked", 0),
    "compact, 1 step": ("compact", 1, "shown", 0),
    "compact, 1 step, spread 16": ("compact", 1, "shown", 16),
}


def make_config(choice: str, seed: int, seconds: float):
    from gato_dist.config.run_config import parse_config

    encoding, window, past, spread = CHOICES[choice]
    # A BabyAI step is 160 tokens in the paper's encoding. Batches hold as many tokens either way.
    length, batch = (512, 4) if encoding == "paper" else (128, 16)
    tasks = [{"name": name, "window_steps": window} for name in TASKS]
    data = {
        "name": "choices", "seed": seed, "tasks": tasks, "tokens": {"encoding": encoding, "length": length},
        "model": MODEL | {"past_actions": past},
        "learner": {
            "minutes": seconds / 60, "batch": batch, "learning_rate": 2e-3, "warmup_steps": 50, "target_spread": spread
        },
        "evaluation": {"episodes": 8},
    }  # fmt: skip
    return parse_config(data, "choices")


def collect() -> dict[str, list]:
    """Scripted and bot episodes by task; Meta-World's are cut after 150 steps, when the goal has been reached."""
    from actors.experts.registry import make_expert
    from actors.rollout import episodes
    from gato_dist.seeds import expert_seeds

    found = {}
    for name, count in TASKS.items():
        seeds = expert_seeds(0, 0, min(count, 12))
        expert = make_expert(name, seeds, max_steps=150 if name.startswith("metaworld") else None)
        played = episodes(expert.env, expert.policy, expert.provenance())
        found[name] = list(itertools.islice(played, count))
        expert.env.close()
    return found


def stream(sequences, seed: int) -> Iterator:
    """Yields random sequences, 16 at a time, without end."""
    random = np.random.default_rng(seed)
    while True:
        order = random.integers(len(sequences), size=16)
        yield sequences.take(order)


def train_and_play(choice: str, seed: int, seconds: float, episodes: dict[str, list]) -> dict[str, float]:
    """Returns the expert-score fraction of each task."""
    import torch

    from actors.evaluate import Evaluator
    from gato_dist.scores.references import load_reference
    from gato_dist.scores.table import ScoreRow
    from gato_dist.tokens.packing import Packer
    from gato_dist.training.tokenizer import make_tokenizer
    from learner.learner import Learner
    from replay.mixture import MixtureBatches, TaskStream
    from replay.sequence_blocks import join_sequences

    torch.set_num_threads(1)
    config = make_config(choice, seed, seconds)
    references = {name: load_reference(name) for name in TASKS}
    tokenizer = make_tokenizer(config)
    streams = []
    for index, task in enumerate(config.tasks):
        packer = Packer(
            tokenizer.tasks[task.name], length=config.tokens.length, window_steps=task.window_steps, seed=seed
        )
        encode = tokenizer.tasks[task.name].encode
        parts = [packer.add(encode(episode.observations, episode.targets)) for episode in episodes[task.name]]
        rows = join_sequences([part for part in [*parts, packer.flush()] if part is not None])
        streams.append(TaskStream(index, task.weight, stream(rows, seed)))
    batches = iter(MixtureBatches(streams, batch=config.learner.batch, tensor_size=tokenizer.tensor_size, seed=seed))
    learner = Learner.for_run(config, tokenizer)
    began = time.monotonic()
    while learner.progress < 1:
        learner.step(next(batches))
        learner.counters.seconds = time.monotonic() - began
    evaluator = Evaluator(config, tokenizer)
    fractions = {}
    for name in TASKS:
        returns = [episode.episode_return for episode in evaluator.play(learner.model, name, 8, 0)]
        fractions[name] = ScoreRow.of(name, returns, references[name], step=0, weights_version=0).fraction or 0.0
    return fractions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each")
    options = parser.parse_args()
    episodes = collect()
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        waiting = {
            (choice, seed): pool.submit(train_and_play, choice, seed, options.seconds, episodes)
            for choice in CHOICES
            for seed in range(options.seeds)
        }
        print(
            f"{date.today()}, {options.seconds:.0f} s of training on one core, {options.jobs} runs at a time, seeds "
            f"0 … {options.seeds - 1}, 8 episodes a task and seed; mean (least … most) over seeds\n"
        )
        print("| choice | " + " | ".join(TASKS) + " | mean |\n|---|" + "---|" * (len(TASKS) + 1))
        for choice in CHOICES:
            found = [waiting[choice, seed].result() for seed in range(options.seeds)]
            cells = []
            for name in TASKS:
                values = [each[name] for each in found]
                cells.append(f"{np.mean(values):.2f} ({min(values):.2f} … {max(values):.2f})")
            mean = np.mean([list(each.values()) for each in found])
            print(f"| {choice} | " + " | ".join(cells) + f" | **{mean:.2f}** |", flush=True)


if __name__ == "__main__":
    main()
