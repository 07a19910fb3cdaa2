"""Tokens per second that one core encodes and packs: python -m tests.benchmarks.encoding

Random values in the layouts of real tasks. References of the same run: for images a plain copy of their bytes, for
numbers the logarithm alone that the mu-law takes of each.
"""

import time
from collections.abc import Callable

import numpy as np

from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.layout import Statistics, TaskTokenizer
from gato_dist.tokens.packing import Packer, Prompting
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary

STATE = TaskSpec(
    "metaworld/like",
    (ObservationSpec("state", Modality.CONTINUOUS, (39,)),),
    ActionSpec(Modality.CONTINUOUS, (4,), low=(-1.0,) * 4, high=(1.0,) * 4),
    500,
)
IMAGE = TaskSpec(
    "ale/like",
    (ObservationSpec("image", Modality.IMAGE, (64, 80, 3)),),
    ActionSpec(Modality.DISCRETE, num_values=(6,)),
    500,
)
STEPS, LENGTH = 500, 1024


def seconds(work: Callable[[], object], least: float = 2.0) -> float:
    """Returns the mean seconds of a call, measured for at least `least` seconds."""
    work()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < least:
        work()
        calls += 1
    return (time.perf_counter() - began) / calls


def make_tokenizer(spec: TaskSpec) -> TaskTokenizer:
    text = TextTokenizer.load()
    statistics = {"state": Statistics(np.zeros(39), np.ones(39))}
    return TaskTokenizer(spec, Vocabulary(32000, "paper"), text, "paper", statistics=statistics)


def main() -> None:
    rng = np.random.default_rng(0)
    state, actions = rng.normal(size=(STEPS, 39)), rng.uniform(-1, 1, size=(STEPS, 4))
    frames, buttons = rng.integers(256, size=(STEPS, 64, 80, 3), dtype=np.uint8), rng.integers(6, size=STEPS)
    print(f"one episode of {STEPS} steps, sequences of {LENGTH} tokens, paper's encoding, one core")
    for name, spec, observations, chosen, reference, what in (
        ("numbers", STATE, {"state": state}, actions, lambda: np.log1p(np.abs(state)), "log1p alone"),
        ("images", IMAGE, {"image": frames}, buttons, frames.copy, "one copy of the frames"),
    ):
        tokenizer = make_tokenizer(spec)
        steps = tokenizer.encode(observations, chosen)
        tokens = int(steps.lengths.sum())
        copy = seconds(reference)
        encode = seconds(lambda: tokenizer.encode(observations, chosen))  # noqa: B023
        for packing, prompting in (("", Prompting()), (", a quarter prompted", Prompting(0.25, 512))):
            packer = Packer(tokenizer, length=LENGTH, window_steps=0, seed=0, prompting=prompting)
            pack = seconds(lambda: packer.add(steps))  # noqa: B023
            print(
                f"{name:8} encode {tokens / encode / 1e6:6.1f} M tokens/s ({encode / copy:4.1f} × {what}); "
                f"encode and pack{packing} {tokens / (encode + pack) / 1e6:6.1f} M tokens/s "
                f"({(encode + pack) / copy:4.1f} ×)"
            )


if __name__ == "__main__":
    main()
