"""`gato-dist train`."""

from pathlib import Path

from gato_dist.cli.parser import CommandGroup


def add_commands(commands: CommandGroup) -> None:
    """Declares `train`."""
    train = commands.add_command("train", _train, help="train a model: experts, replay, learner and evaluation at once")
    train.add_argument("config", metavar="CONFIG", help="YAML file, such as configs/quickstart.yaml")
    train.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="set keys of the config, such as learner.batch=64"
    )
    train.add_argument("--run", type=Path, metavar="DIR", help="run folder (default: runs/NAME, the config's name)")
    train.add_argument("--resume", action="store_true", help="continue the run in its folder (default: a new run)")
    train.add_argument(
        "--data",
        metavar="DATASET",
        help="folder or URL; train from this dataset alone: no experts, no Ray, no scores (default: the config's data)",
    )
    train.add_argument(
        "--init", type=Path, metavar="CHECKPOINT", help="fine-tune: a new run from these weights (default: new weights)"
    )


def _train(
    *, config: str, overrides: list[str], run: Path | None, resume: bool, data: str | None, init: Path | None
) -> None:
    from gato_dist.config.run_config import load_config

    initial_weights = [f"learner.init={init.absolute()}"] if init else []
    run_config = load_config(config, overrides + initial_weights)
    # Only a valid config is worth the seconds that the next imports take.
    from gato_dist.records.run_folder import RunFolder

    folder = RunFolder(run or Path("runs") / run_config.name)
    if data or not run_config.tasks:
        from gato_dist.training.offline import train_from_disk

        train_from_disk(run_config, folder, resume, data)
        return
    from gato_dist.utils.missing_packages import require_reverb

    require_reverb()
    from gato_dist.training.live import train

    train(run_config, folder, resume)
