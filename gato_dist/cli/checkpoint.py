"""`gato-dist checkpoint`: what a checkpoint holds, and its weights as one file."""

import argparse
from pathlib import Path
from typing import Any


def add_checkpoint(commands: Any) -> None:
    checkpoint = commands.add_parser("checkpoint", help="look into checkpoints, and export them").add_subparsers(
        required=True, metavar="ACTION"
    )
    info = checkpoint.add_parser("info", help="step, tokens, tasks, tokenizer and parameters; whether it is whole")
    info.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    info.set_defaults(command=_info)
    export = checkpoint.add_parser("export", help="weights, config and tokenizer as one file, which acts as before")
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new .safetensors")
    export.set_defaults(command=_export)


def _info(options: argparse.Namespace) -> int | None:
    from learner.checkpoint import read_contents

    contents = read_contents(options.checkpoint)
    counters = contents.counters
    parameters = sum(tensor.numel() for tensor in contents.weights.values())
    lines = {
        "run": contents.config.name,
        "step": f"{counters.step:,}",
        "tokens": f"{counters.tokens:,}",
        "seconds": f"{counters.seconds:,.0f}",
        "weights version": counters.weights_version,
        "batches skipped": counters.skipped,
        "parameters": f"{parameters:,}",
        "tokenizer": f"{contents.tokenizer.fingerprint} ({contents.tokenizer.encoding})",
        "began from": contents.config.learner.init or "new weights",
        "tasks": ", ".join(contents.tokenizer.tasks),
    }
    for name, value in lines.items():
        print(f"{name:16} {value}")
    return None


def _export(options: argparse.Namespace) -> int | None:
    from gato_dist.errors import InputError
    from gato_dist.utils.files import lowercase_suffix
    from learner.checkpoint import export_checkpoint

    if lowercase_suffix(options.out) != ".safetensors":
        raise InputError(f"--out: {options.out} must end in .safetensors")
    contents = export_checkpoint(options.checkpoint, options.out)
    print(f"{options.out}: step {contents.counters.step}, {options.out.stat().st_size:,} bytes")
    return None
