"""`gato-dist collect` and `dataset`: make datasets, check them, and exchange them with other formats."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gato_dist.cli.number_types import finite_float, positive_int, seed
from gato_dist.cli.parser import CommandGroup

if TYPE_CHECKING:
    from gato_dist.config.data_sections import TaskConfig

FORMATS = ("minari", "jat")
NEW_FOLDER = "a new folder on this machine"


def add_commands(commands: CommandGroup) -> None:
    """Declares `collect` and the actions of `dataset`."""
    _add_collect(commands)
    dataset = commands.add_group("dataset", help="list, check, join and share datasets")

    info = dataset.add_command("info", _info, help="list what a dataset holds of each task")
    _add_dataset(info)
    info.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="also write a page with pictures, episode returns and lengths (default: no page)",
    )

    _add_dataset(dataset.add_command("validate", _validate, help="read a whole dataset and report every damaged file"))

    merge = dataset.add_command("merge", _merge, help="join datasets; an episode that several hold is kept once")
    merge.add_argument("datasets", nargs="+", metavar="DATASET", help="folders or URLs, two or more")
    merge.add_argument("--out", type=Path, required=True, metavar="DIR", help=NEW_FOLDER)

    _add_dataset(dataset.add_command("card", _card, help="write a dataset's README.md again"))

    export = dataset.add_command("export", _export, help="convert a dataset to Minari's or to JAT's format")
    _add_dataset(export)
    export.add_argument("--format", choices=FORMATS, required=True, help="the format to write")
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"minari: the folder for MINARI_DATASETS_PATH; jat: {NEW_FOLDER}",
    )

    imported = dataset.add_command("import", _import, help="convert a Minari or JAT dataset to this project's format")
    imported.add_argument("source", metavar="SOURCE", help="a folder, or the id of a Minari dataset on this machine")
    imported.add_argument("--format", choices=FORMATS, required=True, help="the format of SOURCE")
    imported.add_argument("--out", type=Path, required=True, metavar="DIR", help=NEW_FOLDER)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder or URL of the dataset")


def _add_collect(commands: CommandGroup) -> None:
    collect = commands.add_command("collect", _collect, help="play episodes and store them as a dataset")
    config = collect.add_mutually_exclusive_group()
    # Suppressed: if the argument is absent, its default must not overwrite the option's value.
    config.add_argument(
        "config",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="CONFIG",
        help="a run's YAML file: collect its tasks with its experts",
    )
    config.add_argument("--config", metavar="CONFIG", help="the same as the argument CONFIG")
    collect.add_argument(
        "--tasks",
        metavar="GLOB",
        help="tasks, such as 'metaworld/*', or a comma-separated list; with a CONFIG, a part of its tasks "
        "(default: all tasks of the CONFIG)",
    )
    amount = collect.add_mutually_exclusive_group(required=True)
    amount.add_argument("--episodes", type=positive_int, default=0, metavar="N", help="episodes to keep per task")
    amount.add_argument("--steps", type=positive_int, default=0, metavar="N", help="minimum of steps per task")
    collect.add_argument(
        "--out", required=True, metavar="DIR", help="folder or URL; an interrupted collection there is continued"
    )
    collect.add_argument(
        "--policy", default="expert", metavar="expert|random|CHECKPOINT", help="who acts (default: %(default)s)"
    )
    collect.add_argument(
        "--min-fraction",
        type=finite_float,
        metavar="F",
        help="drop episodes below this expert-score fraction; the paper's is 0.8 (default: keep all)",
    )
    collect.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="selects the seeds of the episodes (default: %(default)s)"
    )
    collect.add_argument(
        "--workers",
        type=positive_int,
        metavar="N",
        help="processes that play in parallel (default: 1, or the number of CPUs of the cluster)",
    )
    collect.add_argument(
        "--address", metavar="HOST:PORT", help="a Ray cluster, or auto to find one (default: this machine alone)"
    )


def _collect(
    *,
    config: str | None,
    tasks: str | None,
    episodes: int,
    steps: int,
    out: str,
    policy: str,
    min_fraction: float | None,
    seed: int,
    workers: int | None,
    address: str | None,
) -> None:
    chosen = _tasks_to_collect(config, tasks)
    from gato_dist.datasets.collect import collect
    from gato_dist.datasets.collect_plan import CollectionGoal
    from gato_dist.datasets.collect_request import CollectionRequest
    from replay.dataset.storage import Location

    collect(
        CollectionRequest(
            tasks=chosen,
            goal=CollectionGoal(episodes=episodes, steps=steps),
            out=Location.of(out),
            policy=policy,
            min_fraction=min_fraction,
            seed=seed,
            workers=workers,
            address=address,
        )
    )


def _tasks_to_collect(config: str | None, glob: str | None) -> tuple[TaskConfig, ...]:
    """Returns the tasks of the config, those of them that match the glob, or without a config all that match it."""
    from gato_dist.config.data_sections import TaskConfig
    from gato_dist.config.run_config import load_config
    from gato_dist.errors import InputError
    from gato_dist.tasks import match_tasks, select_tasks

    if config:
        tasks = load_config(config).tasks
        if glob is None:
            return tasks
        names = select_tasks([task.name for task in tasks], glob, config)
        return tuple(task for task in tasks if task.name in names)
    if glob is None:
        raise InputError("collect: give a CONFIG, or --tasks GLOB")
    return tuple(TaskConfig(name=name) for name in match_tasks(glob))


def _info(*, dataset: str, html: Path | None) -> None:
    from gato_dist.datasets.inspect import print_dataset
    from replay.dataset.storage import Location

    root = Location.of(dataset)
    print_dataset(root)
    if html:
        from gato_dist.datasets.exchange import write_html

        write_html(root, html)


def _validate(*, dataset: str) -> None:
    from gato_dist.datasets.inspect import validate_dataset
    from replay.dataset.storage import Location

    validate_dataset(Location.of(dataset))


def _merge(*, datasets: list[str], out: Path) -> None:
    from gato_dist.datasets.exchange import merge_datasets
    from replay.dataset.storage import Location

    merge_datasets([Location.of(dataset) for dataset in datasets], out)


def _card(*, dataset: str) -> None:
    from gato_dist.datasets.exchange import rewrite_card
    from replay.dataset.storage import Location

    rewrite_card(Location.of(dataset))


def _export(*, dataset: str, format: str, out: Path) -> None:
    from gato_dist.datasets.exchange import export_dataset
    from replay.dataset.storage import Location

    export_dataset(Location.of(dataset), format, out)


def _import(*, source: str, format: str, out: Path) -> None:
    from gato_dist.datasets.exchange import import_dataset

    import_dataset(source, format, out)
