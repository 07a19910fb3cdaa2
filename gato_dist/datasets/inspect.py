"""`gato-dist dataset info` and `validate`: prints what a dataset holds, and checks all of its files."""

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
    """Prints a line for each task: policy, episodes, steps, returns and their histogram, success and bytes per step.

    Raises:
        InputError: if there is no dataset at `root` or a manifest is damaged.
    """
    dataset = Dataset.open(root)
    settings = dataset.settings
    rows = []
    columns = ["task", "policy", "episodes", "steps", "return", "from … to", "", "success", "bytes/step"]
    if settings["min_fraction"] is not None:
        columns.insert(3, "of played")
    for task in dataset.shards:
        known = TaskStatistics.of(dataset.manifests(task))
        cells = dict(zip(columns, [""] * len(columns), strict=True))
        names = dict.fromkeys(policy.rpartition(" ")[0] for policy in known.policies)
        cells |= {
            "task": task, "policy": ", ".join(names), "episodes": str(known.episodes), "steps": str(known.steps),
            "of played": str(known.played), "success": "–" if known.success is None else f"{known.success:.0%}",
        }  # fmt: skip
        if known.episodes:
            cells |= {
                "return": f"{known.return_mean:.2f} ± {known.return_std:.2f}",
                "from … to": f"{known.return_min:.2f} … {known.return_max:.2f}",
                "": draw_histogram(known.histogram), "bytes/step": f"{known.bytes / known.steps:.0f}",
            }  # fmt: skip
        rows.append([cells[name] for name in columns])
    CONSOLE.print(NamedTable(columns, rows, drop=("", "from … to", "bytes/step", "policy", "of played", "steps")))


def draw_histogram(counts: tuple[int, ...]) -> str:
    """Returns a histogram in one line, one character for each count."""
    most = max(*counts, 1)
    return "".join(BARS[int(np.ceil((len(BARS) - 1) * count / most))] for count in counts)


def validate_dataset(root: Location) -> None:
    """Reads every file of a dataset and prints that there is no fault.

    Raises:
        InputError: if there are faults. The message lists all of them: file, episode and what is wrong.
    """
    settings = read_settings(root)
    faults, shards = [], []
    for path in root.glob("*/*.json"):
        try:
            shards.append(Shard(path))
        except InputError as error:
            faults.append(str(error))
    described = {str(shard.parquet) for shard in shards if shard.manifest.entries}
    faults += [f"{path}: has no manifest" for path in root.glob("*/*.parquet") if str(path) not in described]
    for shard in track(shards, "shards", console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal):
        faults += shard_faults(shard)
    manifests: dict[str, list[Manifest]] = {}
    for shard in shards:
        manifests.setdefault(shard.manifest.spec.name, []).append(shard.manifest)
    for task in dict.fromkeys([*settings["episodes"], *settings["steps"], *manifests]):
        wanted = settings["episodes"].get(task, 0), settings["steps"].get(task, 0)
        faults += [f"{root}: {task} {fault}" for fault in _gaps(manifests.get(task, []), *wanted)]
    if faults:
        raise InputError("\n".join(faults))
    CONSOLE.print(f"{root}: no fault found", soft_wrap=True)


def _gaps(manifests: list[Manifest], episodes: int, steps: int) -> list[str]:
    """Faults in the numbering of a task's episodes: missing ones, of those that are wanted, and repeated ones."""
    played = Counter(index for manifest in manifests for index in manifest.indices)
    twice = sorted(index for index, count in played.items() if count > 1)
    found = [f"has episode {twice[0]} {played[twice[0]]} times, and {len(twice) - 1} more"] if twice else []
    missing = next(index for index in range(len(played) + 1) if index not in played)
    before = [entry for manifest in manifests for entry in manifest.entries if entry.index < missing]
    gap = f"; the first missing episode is {missing}"
    if len(before) < episodes:
        found.append(f"has {len(before)} of {episodes} episodes{gap}")
    if (taken := sum(entry.steps for entry in before)) < steps:
        found.append(f"has {taken} of {steps} steps{gap}")
    if not found and (episodes or steps) and missing < len(played):
        found.append(f"has {len(played)} episodes{gap}")
    return found
