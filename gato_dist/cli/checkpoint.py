"""`gato-dist checkpoint`: describe a checkpoint, and export its weights as one file."""

from pathlib import Path

from gato_dist.cli.parser import CommandGroup


def add_commands(commands: CommandGroup) -> None:
    """Declares the actions of `checkpoint`."""
    checkpoint = commands.add_group("checkpoint", help="describe and export checkpoints")
    info = checkpoint.add_command(
        "info", _info, help="check a checkpoint and show its step, tokens, tasks, tokenizer and parameters"
    )
    info.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    export = checkpoint.add_command(
        "export", _export, help="write weights, config and tokenizer as one file that commands accept as a CHECKPOINT"
    )
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new .safetensors file")


def _info(*, checkpoint: Path) -> None:
    from gato_dist.commands.checkpoint_files import print_checkpoint

    print_checkpoint(checkpoint)


def _export(*, checkpoint: Path, out: Path) -> None:
    from gato_dist.commands.checkpoint_files import export_checkpoint

    export_checkpoint(checkpoint, out)
