"""`gato-dist dataset info` and `validate`: what a dataset holds, and whatever is wrong with it."""

from collections import Counter

import numpy as np
from rich.progress import track

from gato_dist.errors import InputError
from gato_dist.utils.console import NamedTable, make_console
from replay.dataset.dataset import Dataset, read_settings
from replay.dataset.shards import Manifest, Shard
from replay.dataset.storage import Location
from replay.dataset.summary import TaskStatistics
from replay.dataset.validation import shard_faults

CONSOLE = make_console(200)
BARS = " ▁▂▃▄▅▆▇█"


def print_dataset(root: Location) -> None:
    """How it was made, and a line a task: what it holds, what it returns, how much room a step takes."""
    dataset = Dataset.open(root)
    settings = dataset.settings
    rows = []
    columns = ["task", "policy", "episodes", "steps", "return", "from … to", "", "success", "bytes/step"]
    if settings["min_fraction"] is not None:
        columns.insert(3, "of played")
    for task in dataset.shards:
        figures = TaskStatistics.of(dataset.manifests(task))
        cells = dict(zip(columns, [""] * len(columns), strict=True))
        names = dict.fromkeys(policy.rpartition(" ")[0] for policy in figures.policies)
        cells |= {
            "task": task, "policy": ", ".join(names), "episodes": str(figures.episodes), "steps": str(figures.steps),
            "of played": str(figures.played), "success": "–" if figures.success is None else f"{figures.success:.0%}",
        }  # fmt: skip
        if figures.episodes:
            cells |= {
                "return": f"{figures.return_mean:.2f} ± {figures.return_std:.2f}",
                "from … to": f"{figures.return_min:.2f} … {figures.return_max:.2f}",
                "": draw_histogram(figures.histogram), "bytes/step": f"{figures.bytes / figures.steps:.0f}",
            }  # fmt: skip
        rows.append([cells[name] for name in columns])
    CONSOLE.print(NamedTable(columns, rows, drop=("", "from … to", "bytes/step", "policy", "of played", "steps")))


def draw_histogram(counts: tuple[int, ...]) -> str:
    """The shape of a distribution, a character a count."""
    most = max(*counts, 1)
    return "".join(BARS[int(np.ceil((len(BARS) - 1) * count / most))] for count in counts)


def validate_dataset(root: Location) -> None:
    """Reads everything. Raises InputError that lists every fault: file, episode and what is wrong."""
    settings = read_settings(root)
    faults, shards = [], []
    for path in root.glob("*/*.json"):
        try:
            shards.append(Shard(path))
        except InputError as error:
            faults.append(str(error))
    described = {str(shard.parquet) for shard in shards if shard.manifest.entries}
    faults += [f"{path}: no manifest beside it" for path in root.glob("*/*.parquet") if str(path) not in described]
    for shard in track(shards, "shards", console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal):
        faults += shard_faults(shard)
    held: dict[str, list[Manifest]] = {}
    for shard in shards:
        held.setdefault(shard.manifest.spec.name, []).append(shard.manifest)
    for task in dict.fromkeys([*settings["episodes"], *settings["steps"], *held]):
        wanted = settings["episodes"].get(task, 0), settings["steps"].get(task, 0)
        faults += [f"{root}: {task} {fault}" for fault in _gaps(held.get(task, []), *wanted)]
    if faults:
        raise InputError("\n".join(faults))
    CONSOLE.print(f"{root}: no fault found", soft_wrap=True)


def _gaps(manifests: list[Manifest], episodes: int, steps: int) -> list[str]:
    """Episodes of a task that are missing, of those wanted, or there more than once."""
    played = Counter(index for manifest in manifests for index in manifest.indices)
    twice = sorted(index for index, count in played.items() if count > 1)
    found = [f"has episode {twice[0]} {played[twice[0]]} times, and {len(twice) - 1} more"] if twice else []
    missing = next(index for index in range(len(played) + 1) if index not in played)
    before = [entry for manifest in manifests for entry in manifest.entries if entry.index < missing]
    there = f"; the first that is missing is {missing}"
    if len(before) < episodes:
        found.append(f"has {len(before)} of {episodes} episodes{there}")
    if (taken := sum(entry.steps for entry in before)) < steps:
        found.append(f"has {taken} of {steps} steps; the first episode that is missing is {missing}")
    if not found and (episodes or steps) and missing < len(played):
        found.append(f"has {len(played)} episodes{there}")
    return found
