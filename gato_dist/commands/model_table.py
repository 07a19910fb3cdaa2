"""`gato-dist model`: the parameters of model presets by part, next to the sizes in the paper."""

from collections import Counter

import torch
from rich.table import Table

from gato_dist.config.model_presets import MODEL_PRESETS, PAPER_PARAMETERS
from gato_dist.config.training_sections import ModelConfig
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.tokens.vocabulary import Vocabulary
from gato_dist.utils.console import make_console

COMPACT_TENSOR_SIZE = 39  # floats of a Meta-World observation, for presets with the compact encoding
PAPER_TEXT_SIZE = 32000
# Part and a piece of a parameter's name. A parameter belongs to the first part whose piece its name contains.
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
The paper states total sizes, but not the parts. Its embedding is shared with the output layer. Its activation is GEGLU:
here the two halves of the input count together as feed_forward numbers, and half as many come out. If each half counted
as feed_forward numbers, the largest model would have {full:.2f}B parameters; with a plain GELU it would have
{gelu:.2f}B. No reading matches all three sizes."""
VOCABULARY_NOTE = """\
Vocabulary: 32,000 text tokens and the paper's ranges. Encoding: the paper's; compact for the CPU presets."""


def count_parameters(config: ModelConfig, text_size: int = PAPER_TEXT_SIZE, tensor_size: int = 0) -> Counter[str]:
    """Counts a model's parameters by part, without allocating them.

    Args:
        config: the model's section of a config.
        text_size: number of text tokens.
        tensor_size: most floats of a tensor in the compact encoding; 0 for the paper's encoding.

    Returns:
        Number of parameters by the names in `PARTS`.
    """
    with torch.device("meta"):
        model = Gato(config, Vocabulary(text_size, "paper").size, tensor_size)
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        counts[next(part for part, piece in PARTS if piece in name)] += parameter.numel()
    return counts


def print_models(presets: list[str]) -> None:
    """Prints a table of parameters by part, one column per preset.

    Args:
        presets: names of presets. Empty: all.

    Raises:
        InputError: if a preset does not exist.
    """
    for name in presets:
        if name not in MODEL_PRESETS:
            raise InputError(f"{name}: no such preset; the presets are {', '.join(MODEL_PRESETS)}")
    counts = {name: _count_preset(name) for name in presets or MODEL_PRESETS}
    table = Table(box=None, pad_edge=False)
    table.add_column("millions of parameters")
    for name in counts:
        table.add_column(name, justify="right")
    for part in dict.fromkeys(part for part, _ in PARTS):
        table.add_row(part, *(f"{count[part] / 1e6:,.2f}" for count in counts.values()))
    table.add_row("total", *(f"{count.total() / 1e6:,.2f}" for count in counts.values()), style="bold")
    table.add_row("the paper's", *map(_paper_size, counts))
    table.add_row("ours − the paper's", *(_difference(name, count.total()) for name, count in counts.items()))
    console = make_console()
    console.print(table)
    console.print(NOTE.format(full=_largest_billions(feed_forward=16384), gelu=_largest_billions(activation="gelu")))
    console.print(VOCABULARY_NOTE)


def _count_preset(name: str) -> Counter[str]:
    tensor_size = 0 if name in PAPER_PARAMETERS else COMPACT_TENSOR_SIZE
    return count_parameters(ModelConfig.model_validate({"preset": name}), tensor_size=tensor_size)


def _paper_size(name: str) -> str:
    return f"{PAPER_PARAMETERS[name] / 1e6:,.0f}" if name in PAPER_PARAMETERS else "–"


def _difference(name: str, total: int) -> str:
    return f"{total / PAPER_PARAMETERS[name] - 1:+.0%}" if name in PAPER_PARAMETERS else "–"


def _largest_billions(**keys: object) -> float:
    """Returns the parameters of the paper's largest model with other config keys, in billions."""
    return count_parameters(ModelConfig.model_validate({"preset": "paper-1.18b"} | keys)).total() / 1e9
