"""`gato-dist dataset merge|card|export|import|info`: datasets joined, described, and in other people's formats."""

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
_WRITERS: dict[str, Callable[[Dataset, Path], list[str]]] = {"minari": export_minari, "jat": export_jat}
_READERS: dict[str, Callable[[str], Iterator[EpisodeStream]]] = {"minari": read_minari, "jat": read_jat}


def merge_datasets(roots: list[Location], out: Path) -> None:
    """Raises InputError as `merge`."""
    if len(roots) < 2:
        raise InputError("dataset merge: give two datasets or more")
    merge([Dataset.open(root) for root in roots], out, _command("merge", *map(str, roots)))
    _tell(out)


def import_dataset(source: str, kind: str, out: Path) -> None:
    """Raises InputError for a source that is none of this format, and as `write_dataset`."""
    write_dataset(out, _READERS[kind](source), kind, _command("import", source, "--format", kind))
    _tell(out)


def export_dataset(root: Location, kind: str, out: Path) -> None:
    """Raises InputError for a task that the format has no place for, and where `out` is there already."""
    dataset = Dataset.open(root)
    if not shards_with_episodes(dataset):
        raise InputError(f"{root}: holds no episode to export")
    names = _WRITERS[kind](dataset, out)
    CONSOLE.print(f"{out}: {', '.join(names)}", markup=False, highlight=False)
    if kind == "minari":
        where = f"MINARI_DATASETS_PATH={out.absolute()}"
        CONSOLE.print(f"{where} lets minari.load_dataset find them", markup=False, highlight=False, soft_wrap=True)


def describe(root: Location) -> None:
    """Writes the card again, as after a change of the folder by hand."""
    write_card(Dataset.open(root))
    CONSOLE.print(f"{root / 'README.md'}: written", markup=False, highlight=False)


def draw_dataset(root: Location, file: Path) -> None:
    """Raises InputError where the dataset holds nothing yet."""
    write_page(Dataset.open(root), file)
    CONSOLE.print(f"{file}: written", markup=False, highlight=False)


def _command(*words: str) -> str:
    return shlex.join(["gato-dist", "dataset", *words])


def _tell(out: Path) -> None:
    dataset = Dataset.open(out)
    write_card(dataset)
    for task, shards in dataset.shards.items():
        count = sum(len(shard.manifest.entries) for shard in shards)
        CONSOLE.print(f"{task}: {count} episodes", markup=False, highlight=False)
    CONSOLE.print(f"{out}: written, with its card, README.md", markup=False, highlight=False)
