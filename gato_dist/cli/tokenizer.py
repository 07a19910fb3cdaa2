"""`gato-dist tokenizer`: train text tokenizers."""

from pathlib import Path

from gato_dist.cli.number_types import positive_int
from gato_dist.cli.parser import CommandGroup


def add_commands(commands: CommandGroup) -> None:
    """Declares the actions of `tokenizer`."""
    tokenizer = commands.add_group("tokenizer", help="train a text tokenizer")
    train = tokenizer.add_command("train", _train, help="train a SentencePiece model for tokens.text")
    train.add_argument(
        "--input",
        dest="inputs",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="plain text, one sentence per line",
    )
    train.add_argument(
        "--vocab-size", type=positive_int, default=32000, metavar="N", help="number of tokens (default: %(default)s)"
    )
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="the model to write")


def _train(*, inputs: list[Path], vocab_size: int, out: Path) -> None:
    from gato_dist.tokens.text import train_text_model

    model = train_text_model(inputs, vocab_size, out)
    print(f"{out}: {model.size} tokens; use it with tokens.text={out}")
