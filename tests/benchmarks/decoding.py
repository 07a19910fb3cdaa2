"""Environment steps per second, cached against recomputed: python -m tests.benchmarks.decoding [--presets cpu-2m]

Eight environments of a Meta-World-like task in the paper's encoding (44 tokens a step), windows of 1024 tokens, the
same weights. The reference encodes the whole window again: for every action token (as code without a cache does),
or once for every step, with a cache for the actions of that step alone.
"""

import argparse
import time
from datetime import date

import numpy as np
import torch

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.decode import ActionDecoder, DecodingOptions, make_inputs
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import OutputPositions
from tests.benchmarks.encoding import LENGTH, STATE, make_tokenizer

ENVIRONMENTS = 8


def make_model(preset: str, vocabulary: int) -> Gato:
    torch.manual_seed(0)
    return Gato(ModelConfig.model_validate({"preset": preset}), vocabulary, 0).eval()


def cached_seconds(decoder: ActionDecoder, tokenizer, least_steps: int) -> float:
    """Returns seconds for a step of all environments, over whole periods of a sliding window."""
    rng, slots = np.random.default_rng(0), list(range(ENVIRONMENTS))

    def step() -> None:
        seen = tokenizer.encode({"state": rng.normal(size=(ENVIRONMENTS, 39))})
        decoder.act(slots, [seen.take(slice(i, i + 1)) for i in slots])

    while len(decoder.window(0)) * 44 + 44 <= LENGTH:
        step()
    began = time.perf_counter()
    for _ in range(least_steps):
        step()
    return (time.perf_counter() - began) / least_steps


@torch.inference_mode()
def recomputed_seconds(model: Gato, decoder: ActionDecoder, passes: int) -> float:
    """Returns seconds of one forward pass over the decoder's full windows."""
    inputs, count = make_inputs([slot.steps for slot in decoder._slots], torch.device("cpu"))
    wanted = np.zeros(inputs.token.shape, bool)
    wanted[np.arange(len(count)), count.numpy() - 1] = True
    inputs.position = torch.arange(inputs.token.shape[1]).expand(inputs.token.shape)
    began = time.perf_counter()
    for _ in range(passes):
        model(inputs, OutputPositions.from_mask(wanted))
    return (time.perf_counter() - began) / passes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presets", nargs="+", default=["cpu-2m", "paper-79m"])
    parser.add_argument("--steps", type=int, default=24, help="steps timed; a window slides every 12")
    parser.add_argument("--passes", type=int, default=2)
    options = parser.parse_args()
    tokenizer = make_tokenizer(STATE)
    print(f"{date.today()}, {torch.get_num_threads()} threads, {ENVIRONMENTS} environments, windows of {LENGTH} tokens")
    for preset in options.presets:
        model = make_model(preset, tokenizer.vocabulary.size)
        decoder = ActionDecoder(
            model,
            tokenizers=[tokenizer] * ENVIRONMENTS,
            window_steps=[0] * ENVIRONMENTS,
            seeds=list(range(ENVIRONMENTS)),
            options=DecodingOptions(LENGTH),
        )
        cached = cached_seconds(decoder, tokenizer, options.steps)
        while len(decoder.window(0)) * 44 + 44 <= LENGTH:
            cached_seconds(decoder, tokenizer, 1)
        one = recomputed_seconds(model, decoder, options.passes)
        print(
            f"{preset:10} cached {ENVIRONMENTS / cached:7.1f} env-steps/s; recomputed for every action token "
            f"{ENVIRONMENTS / (4 * one):6.2f} ({4 * one / cached:5.1f} × slower), "
            f"once a step {ENVIRONMENTS / one:6.2f} ({one / cached:5.1f} × slower, actions not counted)"
        )


if __name__ == "__main__":
    main()
