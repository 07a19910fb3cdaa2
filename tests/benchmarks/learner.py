"""Speed of the gradient step on one device, torch alone: python -m tests.benchmarks.learner

For each preset and kind of batch: tokens (padding aside) a second, model FLOPs utilisation, peak memory, and a step's
time by stage. Rates are of whole steps, one fed while the last is computed on a GPU; stages are timed one by one, with
waiting for the device after each, so they add up to a little more. The first step, which compiles, is reported
separately.

Model FLOPs utilisation (MFU) = FLOPs of a step / seconds / peak of the device. A step is 3 forward passes (one forward,
twice as much backward; what `--recompute` computes again is not counted), and a forward pass is, for T tokens that are
not padding, M targets, P patches, N compact tensors, and length L:
    every block but the last    2·T·(numbers in qkv, project, expand and project again) + 4·T·L·H·K of attention
    the last block              2·T·(keys' and values' rows of qkv) + 2·M·(all else) + 4·M·L·H·K
    patches                     2·P·(16 places × (stem + both convolutions) + the linear layer)
    tensors                     2·N·(both linear layers)
    output layer                2·M·W·V
from the model's own matrices. 6 × parameters × tokens would count the output layer for every token, and the last
block's feed-forward. Padding, masked attention, norms and the optimizer count as nothing.
"""

import argparse
import gc
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import repeat
from typing import Any

import numpy as np
import torch

from gato_dist.config.model_presets import MODEL_PRESETS
from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.model.gato import Gato
from gato_dist.sequence import Batch, collate
from gato_dist.specs import TaskSpec
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from learner.device_batches import device_batches
from learner.learner import Learner
from tests.benchmarks.encoding import IMAGE, STATE

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16 FLOP/s
KINDS = {"state": (STATE,), "image": (IMAGE,), "mixed": (STATE, IMAGE)}
SEQUENCES = {"paper-1.18b": 16, "paper-364m": 32, "paper-79m": 64}  # that keep a GPU of 80 GB busy
ON_CPU = ("cpu-1m", "cpu-2m")


def make_tokenizer() -> Tokenizer:
    return Tokenizer(
        [STATE, IMAGE], TextTokenizer.load(), scheme="paper", encoding="paper", statistics={}, text_size=32000
    )


def make_batch(tokenizer: Tokenizer, specs: tuple[TaskSpec, ...], rows: int, length: int) -> Batch:
    """Makes a batch of `rows` random sequences, the same number of each task, with the real tokenizer and packer."""
    rng, parts = np.random.default_rng(0), []
    for share, spec in zip(np.array_split(np.arange(rows), len(specs)), specs, strict=True):
        if spec.name == STATE.name:
            seen, actions = {"state": rng.normal(size=(400, 39))}, rng.uniform(-1, 1, size=(400, 4))
        else:
            seen = {"image": rng.integers(256, size=(400, 64, 80, 3), dtype=np.uint8)}
            actions = rng.integers(6, size=400)
        task = tokenizer.tasks[spec.name]
        packed = Packer(task, length=length, window_steps=0, seed=0).add(task.encode(seen, actions))
        assert packed is not None
        index = np.arange(len(share)) % len(packed)
        rows_of_task = packed.take(index)
        parts.append(((STATE, IMAGE).index(spec), rows_of_task))
    return collate(parts, tokenizer.tensor_size)


def step_flops(model: Gato, batch: Batch) -> float:
    """Returns the FLOPs of one gradient step, by the formula above."""
    tokens, targets = batch.tokens, int(batch.loss_mask[:, 1:].sum())
    attention = 4 * batch.token.shape[1] * model.config.heads * model.config.key_size
    forward = 0.0
    for index, block in enumerate(model.transformer.blocks):
        feed = block.feed_forward
        others = sum(layer.weight.numel() for layer in (block.project, feed.expand, feed.project))
        queries = block.qkv.weight.numel() // 3
        last = index == len(model.transformer.blocks) - 1
        forward += 2 * tokens * 2 * queries + (targets if last else tokens) * (2 * (queries + others) + attention)
    patch = model.embedding.patches
    convolutions = [patch.stem, *(layer for layer in patch.block if isinstance(layer, torch.nn.Conv2d))]
    places = patch.out.in_features // patch.stem.out_channels
    forward += (
        2 * len(batch.patches) * (places * sum(c.weight.numel() for c in convolutions) + patch.out.weight.numel())
    )
    if model.embedding.tensors is not None:
        tensor = model.embedding.tensors
        forward += 2 * len(batch.tensors) * (tensor.numbers.weight.numel() + tensor.out[1].weight.numel())
    forward += 2 * targets * model.embedding.tokens.weight.numel()
    return 3 * forward


class Clock:
    """Measures seconds by stage, and waits for the device before and after each stage."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, dict[str, float]()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self.wait()
        began = time.perf_counter()
        yield
        self.wait()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


def time_stages(learner: Learner, batch: Batch, steps: int) -> dict[str, float]:
    """Returns milliseconds of each stage of `Learner.step`."""
    clock = Clock(learner.device)
    half = learner.config.precision == "bfloat16"
    for _ in range(steps):
        learner.optimizer.zero_grad(set_to_none=True)
        with clock("index, copy"):
            prepared = learner.prepare(batch)
        for inputs, targets in prepared.parts:
            with clock("forward"), torch.autocast(learner.device.type, torch.bfloat16, enabled=half):
                loss, _ = learner._loss_model(inputs, targets)
            with clock("backward"):
                (loss / prepared.targets).backward()
        with clock("optimizer"):
            torch.nn.utils.clip_grad_norm_(learner.model.parameters(), learner.config.clip_norm)
            learner.optimizer.step()
    return {stage: 1000 * seconds / steps for stage, seconds in clock.seconds.items()}


def make_config(preset: str, rows: int, options: argparse.Namespace, **more: Any) -> RunConfig:
    """Makes a configuration; `more` holds keys of the learner's section that override `options`."""
    learner = {
        "batch": rows, "accumulate": options.accumulate, "precision": options.precision, "compile": options.compile,
        "checkpoint_activations": options.recompute, "gpu": options.device == "cuda", "learning_rate": 1e-4,
    }  # fmt: skip
    tasks = [{"name": name, "window_steps": 0} for name in ("metaworld/reach-v3", "ale/pong")]
    tokens = {"encoding": "paper", "vocabulary": "paper", "text_size": 32000, "length": options.length}
    data = {"name": "benchmark", "tasks": tasks, "tokens": tokens, "model": {"preset": preset}}
    data["learner"] = learner | more
    return parse_config(data, "benchmark")


def peak_gigabytes(device: torch.device) -> float:
    """Returns the peak memory of a GPU since the preset began; on a CPU, of the process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(learner: Learner, batch: Batch, kind: str, options: argparse.Namespace) -> str:
    """Returns one line of the table."""
    device, clock = learner.device, Clock(learner.device)
    fed = device_batches(repeat(batch), learner.prepare, device)
    with clock("first"):
        learner.step(next(fed))
    learner.step(next(fed))
    with clock("steps"):
        for _ in range(options.steps):
            learner.step(next(fed))
    seconds = clock.seconds["steps"] / options.steps
    rate = step_flops(learner.model, batch) / seconds
    peak = next((value for name, value in PEAK.items() if name in device_name(device)), None)
    share = f"{rate / peak:6.1%}" if peak and options.precision == "bfloat16" else "     –"
    stages = time_stages(learner, batch, max(options.steps // 4, 1))
    return (
        f"{kind:6} {len(batch.token):4} {batch.tokens / seconds:10,.0f} {rate / 1e12:8.3f} {share} "
        f"{peak_gigabytes(device):7.1f} {1000 * seconds:9.1f} "
        + " ".join(f"{value:11.1f}" for value in stages.values())
        + f" {clock.seconds['first']:7.1f}"
    )


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def profile(learner: Learner, batch: Batch) -> str:
    """Returns a table of the operations of one step that take the most time, without their callees."""
    from torch.profiler import ProfilerActivity

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (learner.device.type == "cuda")
    learner.step(batch)
    with torch.profiler.profile(activities=activities) as recorded:
        learner.step(batch)
    by = "self_cuda_time_total" if learner.device.type == "cuda" else "self_cpu_time_total"
    return recorded.key_averages().table(sort_by=by, row_limit=20, max_name_column_width=60)


def parse() -> argparse.Namespace:
    gpu = torch.cuda.is_available()
    papers = tuple(name for name in MODEL_PRESETS if name.startswith("paper"))
    parser = argparse.ArgumentParser()
    parser.add_argument("--presets", nargs="+", choices=list(MODEL_PRESETS), default=papers[::-1] if gpu else ON_CPU)
    parser.add_argument("--batches", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--rows", type=int, help="sequences in a batch; by default what suits the preset")
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16" if gpu else "float32")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=gpu)
    parser.add_argument("--recompute", action="store_true", help="learner.checkpoint_activations")
    parser.add_argument("--steps", type=int, default=20 if gpu else 4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--loaders", type=int, default=4 if gpu else 1, help="processes that read, for --all")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if gpu else "cpu")
    parser.add_argument("--profile", action="store_true", help="the operations of one step of each preset, too")
    parser.add_argument(
        "--all", action="store_true", help="every measurement of docs/experiments/performance.md, in --budget"
    )
    parser.add_argument("--budget", type=float, default=540, help="seconds after which no further line is begun")
    return parser.parse_args()


def rows_of(options: argparse.Namespace, preset: str) -> int:
    return options.rows or (SEQUENCES.get(preset, 64) if options.device == "cuda" else 8)


def run(options: argparse.Namespace, began: float) -> None:
    """Prints the table, one preset after another."""
    device, tokenizer = torch.device(options.device), make_tokenizer()
    print(
        f"\n{date.today()}, {device_name(device)}, torch {torch.__version__}, {options.precision}"
        f"{', compiled' * options.compile}{', recomputed' * options.recompute}, sequences of {options.length}\n"
        f"{'preset':12} {'batch':6} rows   tokens/s   TFLOP/s    MFU  peak GB   ms/step index, copy     forward"
        "    backward   optimizer 1st s"
    )
    for preset in options.presets:
        rows = rows_of(options, preset)
        if time.monotonic() - began > options.budget:
            print(f"{preset:12} left out: the time is up")
            continue
        try:
            learner = Learner.for_run(make_config(preset, rows, options), tokenizer, device)
            for kind in options.batches:
                if time.monotonic() - began > options.budget:
                    print(f"{preset:12} {kind:6} left out: the time is up")
                    continue
                batch = make_batch(tokenizer, KINDS[kind], rows, options.length)
                print(f"{preset:12} {measure(learner, batch, kind, options)}", flush=True)
            if options.profile:
                print(profile(learner, batch))
        except torch.OutOfMemoryError:
            print(f"{preset:12} {rows} rows: out of memory")
        learner = None
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            torch._dynamo.reset()


def main() -> None:
    options, began = parse(), time.monotonic()
    torch.set_num_threads(options.threads)
    run(options, began)
    if not options.all:
        return
    # For one preset: the cost of the real loader, and the gain of several workers.
    from tests.benchmarks import learner_loader, learner_workers

    chosen = vars(options)
    size = options.presets[0] if options.device == "cuda" else options.presets[-1]
    rows = rows_of(options, size)
    for part in (learner_loader, learner_workers):
        try:
            part.run(options, size, rows, began)
        except Exception as error:
            # If one part fails, for example for lack of memory, the others still run.
            print(f"{part.__name__}: {type(error).__name__}: {str(error)[-400:]}", flush=True)
    # Last, because they take longest: the gain of compilation, bfloat16 and stored activations, for one preset.
    other = "float32" if options.precision == "bfloat16" else "bfloat16"
    one = chosen | {"presets": [size], "batches": ["mixed"]}
    for change in ({"compile": not options.compile, "profile": True}, {"precision": other}, {"recompute": True}):
        run(argparse.Namespace(**one | change), began)


if __name__ == "__main__":
    main()
