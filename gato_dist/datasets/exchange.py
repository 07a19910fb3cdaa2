"""`gato-dist dataset merge|card|export|import|info --html`: joins, describes, exports and imports datasets."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from gato_dist.datasets.card import write_card
from gato_dist.datasets.page import write_page
from gato_dist.errors import InputError
from gato_dist.utils.console import make_console
from replay.dataset.dataset import Dataset
from replay.dataset.merge import merge
from replay.dataset.storage import Location
from replay.dataset.writing import EpisodeStream, shards_with_episodes, write_dataset
from replay.formats.jat_export import export_jat
from replay.formats.jat_import import read_jat
from replay.formats.minari_export import export_minari
from replay.formats.minari_import import read_minari

CONSOLE = make_console()
_EXPORTERS: dict[str, Callable[[Dataset, Path], list[str]]] = {"minari": export_minari, "jat": export_jat}
_IMPORTERS: dict[str, Callable[[str], Iterator[EpisodeStream]]] = {"minari": read_minari, "jat": read_jat}


def merge_datasets(roots: list[Location], out: Path) -> None:
    """Merges datasets into a new one at `out`, and prints what it holds.

    Raises:
        InputError: if there are fewer than two datasets, and as `merge`.
    """
    if len(roots) < 2:
        raise InputError("dataset merge: give two datasets or more")
    merge([Dataset.open(root) for root in roots], out, _command("merge", *map(str, roots)))
    _finish(out)


def import_dataset(source: str, kind: str, out: Path) -> None:
    """Imports a dataset of another format into a new dataset at `out`, and prints what it holds.

    Args:
        source: a folder, or the id of a Minari dataset on this machine.
        kind: the format: "minari" or "jat".
        out: the new dataset's folder.

    Raises:
        InputError: if the source is not of this format, and as `write_dataset`.
    """
    write_dataset(out, _IMPORTERS[kind](source), kind, _command("import", source, "--format", kind))
    _finish(out)


def export_dataset(root: Location, kind: str, out: Path) -> None:
    """Exports a dataset to another format, and prints the names of what was written.

    Args:
        root: the dataset.
        kind: the format: "minari" or "jat".
        out: the folder to write to.

    Raises:
        InputError: if the dataset is empty, the format cannot hold a task, or `out` exists already.
    """
    dataset = Dataset.open(root)
    if not shards_with_episodes(dataset):
        raise InputError(f"{root}: holds no episode to export")
    names = _EXPORTERS[kind](dataset, out)
    CONSOLE.print(f"{out}: {', '.join(names)}", markup=False, highlight=False)
    if kind == "minari":
        variable = f"MINARI_DATASETS_PATH={out.absolute()}"
        CONSOLE.print(
            f"set {variable}, so that minari.load_dataset finds them", markup=False, highlight=False, soft_wrap=True
        )


def rewrite_card(root: Location) -> None:
    """Writes a dataset's card again, for example after files were changed by hand."""
    write_card(Dataset.open(root))
    CONSOLE.print(f"{root / 'README.md'}: written", markup=False, highlight=False)


def write_html(root: Location, file: Path) -> None:
    """Writes an HTML page with charts of a dataset. Raises InputError if the dataset holds no episode."""
    write_page(Dataset.open(root), file)
    CONSOLE.print(f"{file}: written", markup=False, highlight=False)


def _command(*arguments: str) -> str:
    return shlex.join(["gato-dist", "dataset", *arguments])


def _finish(out: Path) -> None:
    """Writes the card of a new dataset and prints its tasks."""
    dataset = Dataset.open(out)
    write_card(dataset)
    for task, shards in dataset.shards.items():
        count = sum(len(shard.manifest.entries) for shard in shards)
        CONSOLE.print(f"{task}: {count} episodes", markup=False, highlight=False)
    CONSOLE.print(f"{out}: written, with its card, README.md", markup=False, highlight=False)
