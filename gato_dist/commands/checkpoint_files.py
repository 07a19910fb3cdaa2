"""`gato-dist checkpoint`: prints what a checkpoint holds, and exports its weights as one file."""

from pathlib import Path

from gato_dist.errors import InputError
from gato_dist.utils.files import lowercase_suffix
from learner.checkpoint import export_weights, read_contents

NAME_WIDTH = 16


def print_checkpoint(checkpoint: Path) -> None:
    """Prints the counters, the tokenizer and the tasks of a checkpoint, one per line.

    Args:
        checkpoint: a checkpoint's folder or exported file.

    Raises:
        InputError: if it is no checkpoint, or damaged.
    """
    contents = read_contents(checkpoint)
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
        print(f"{name:{NAME_WIDTH}} {value}")


def export_checkpoint(checkpoint: Path, out: Path) -> None:
    """Writes the weights, config and tokenizer of a checkpoint as one file, and prints its size.

    Args:
        checkpoint: a checkpoint's folder or exported file.
        out: a new file with the suffix .safetensors.

    Raises:
        InputError: if `out` has another suffix or exists, or `checkpoint` is no checkpoint.
    """
    if lowercase_suffix(out) != ".safetensors":
        raise InputError(f"--out: {out} must end in .safetensors")
    contents = export_weights(checkpoint, out)
    print(f"{out}: step {contents.counters.step}, {out.stat().st_size:,} bytes")
