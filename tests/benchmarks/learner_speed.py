"""Learner tokens per second against Hugging Face's GPT-2 (extra: bench): python -m tests.benchmarks.learner_speed

Equal width, layers, heads, feed-forward size (GELU), vocabulary and sequence length, the same optimiser, one process,
turns taken. GPT-2 reads the same number of random tokens and computes logits for all of them, as its loss does.
"""

import argparse
import time
from collections.abc import Callable
from datetime import date

import numpy as np
import torch

from gato_dist.config.run_config import parse_config
from learner.learner import Learner
from tests.benchmarks.encoding import IMAGE, STATE
from tests.benchmarks.learner import make_batch, make_tokenizer

LENGTH = 1024
TASKS = [{"name": "metaworld/reach-v3"}, {"name": "ale/pong"}]


def gpt2_step(model_config, vocabulary: int, rows: int) -> Callable[[], object]:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary, n_positions=LENGTH, n_embd=model_config.width, n_layer=model_config.layers,
        n_head=model_config.heads, n_inner=model_config.feed_forward, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(vocabulary, (rows, LENGTH))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    work()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presets", nargs="+", default=["cpu-2m", "paper-79m"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-seconds", action="store_true", help="for a machine that others use: with --threads 1")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.cpu_seconds and options.threads > 1:
        parser.error("--cpu-seconds counts those of all threads: give --threads 1")
    clock = time.process_time if options.cpu_seconds else time.perf_counter
    print(
        f"{date.today()}, {options.threads} threads, sequences of {LENGTH} tokens, vocabulary of the paper, "
        f"{'seconds of CPU' if options.cpu_seconds else 'wall clock'}"
    )
    tokenizer = make_tokenizer()
    for preset in options.presets:
        rows = 8 if preset.startswith("cpu") else 2
        keys = {"preset": preset, "activation": "gelu", "shared_embedding": True, "stochastic_depth": 0.0}
        config = parse_config({"name": "t", "tasks": TASKS, "model": keys, "learner": {"batch": rows}}, "bench")
        ours = {}
        for spec in (STATE, IMAGE):
            learner, batch = Learner.for_run(config, tokenizer), make_batch(tokenizer, (spec,), rows, LENGTH)
            ours[spec.name] = (lambda learner=learner, batch=batch: learner.step(batch), batch.tokens)
        theirs = gpt2_step(config.model, tokenizer.vocabulary.size, rows)
        times: dict[str, list[float]] = {"gpt2": []} | {name: [] for name in ours}
        for _ in range(options.rounds + 1):
            times["gpt2"].append(seconds(theirs, clock))
            for name, (step, _) in ours.items():
                times[name].append(seconds(step, clock))
        # The first round warms up.
        best = {name: float(np.median(each[1:])) for name, each in times.items()}
        reference = rows * LENGTH / best["gpt2"]
        for name, (_, tokens) in ours.items():
            rate = tokens / best[name]
            print(f"{preset:10} {name:15} {rate:8,.0f} tokens/s; GPT-2 {reference:8,.0f}; ratio {rate / reference:.2f}")


if __name__ == "__main__":
    main()
