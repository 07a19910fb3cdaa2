"""`gato-dist model`: parameters of the presets by part, beside the paper's sizes."""

from collections import Counter

import torch
from rich.table import Table

from gato_dist.config.model_presets import MODEL_PRESETS, PAPER_PARAMETERS
from gato_dist.config.training_sections import ModelConfig
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.tokens.vocabulary import Vocabulary
from gato_dist.utils.console import make_console

TENSOR_SIZE = 39  # of compact tensors: Meta-World's
# Which part a parameter belongs to: the first whose key its name holds.
PARTS = (
    ("text and value tokens", "embedding.tokens"),
    ("output layer", "head"),
    ("feed-forward", "feed_forward.expand"),
    ("feed-forward", "feed_forward.project"),
    ("attention", "qkv"),
    ("attention", "project"),
    ("patch position", "patches.rows"),
    ("patch position", "patches.columns"),
    ("patch block", "embedding.patches"),
    ("compact tensors", "embedding.tensors"),
    ("local and action position", "embedding.local"),
    ("local and action position", "embedding.actions"),
    ("sequence position", "embedding.positions"),
    ("norms", "norm"),
)
NOTE = """\
The paper gives sizes but no parts. Its embedding is shared with the output layer and its activation is GEGLU, whose
halves are counted together here (feed_forward numbers go in, half of them come out); counting each half as
feed_forward numbers gives {full:.2f}B for the largest, and a plain GELU {gelu:.2f}B: no reading meets all three."""


def count_parameters(config: ModelConfig, text_size: int = 32000, tensor_size: int = 0) -> Counter[str]:
    """Parameters by part, without making any."""
    with torch.device("meta"):
        model = Gato(config, Vocabulary(text_size, "paper").size, tensor_size)
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        counts[next(part for part, key in PARTS if key in name)] += parameter.numel()
    return counts


def print_models(presets: list[str]) -> None:
    """The table. Raises InputError for a preset that does not exist."""
    for name in presets:
        if name not in MODEL_PRESETS:
            raise InputError(f"{name}: no such preset; there is {', '.join(MODEL_PRESETS)}")
    chosen = presets or list(MODEL_PRESETS)
    counts = {
        name: count_parameters(
            ModelConfig.model_validate({"preset": name}), tensor_size=0 if name in PAPER_PARAMETERS else TENSOR_SIZE
        )
        for name in chosen
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("millions of parameters")
    for name in chosen:
        table.add_column(name, justify="right")
    for part in dict.fromkeys(part for part, _ in PARTS):
        table.add_row(part, *(f"{counts[name][part] / 1e6:,.2f}" for name in chosen))
    table.add_row("in all", *(f"{counts[name].total() / 1e6:,.2f}" for name in chosen), style="bold")
    table.add_row("the paper's", *(_paper(name) for name in chosen))
    table.add_row("ours − the paper's", *(_difference(name, counts[name].total()) for name in chosen))
    console = make_console()
    console.print(table)
    console.print(NOTE.format(full=_largest(feed_forward=16384), gelu=_largest(activation="gelu")))
    console.print(
        "Vocabulary: 32,000 text tokens and the paper's ranges. Encoding: paper's, compact for the CPU presets."
    )


def _paper(name: str) -> str:
    return f"{PAPER_PARAMETERS[name] / 1e6:,.0f}" if name in PAPER_PARAMETERS else "–"


def _difference(name: str, total: int) -> str:
    return f"{total / PAPER_PARAMETERS[name] - 1:+.0%}" if name in PAPER_PARAMETERS else "–"


def _largest(**keys: object) -> float:
    return count_parameters(ModelConfig.model_validate({"preset": "paper-1.18b"} | keys)).total() / 1e9
