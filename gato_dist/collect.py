"""`gato-dist collect` and `gato-dist dataset`: episodes of experts on disk, made, listed and checked.

A dataset is a folder: `dataset.json` says how it is made, and each task has a folder of shards (replay/episodes.py).
Episode i of a task always plays the same world, so that a shard is the same whoever makes it: a collection that was
killed goes on with the shards that are missing, and two at once do no harm.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from actors.evaluate import play_expert
from actors.experts.registry import find_kind
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.jobs import run_jobs
from gato_dist.seeds import DATASET_SEEDS, dataset_seeds
from gato_dist.status import make_console
from replay.dataset import FORMAT, SETTINGS, Dataset, read_settings
from replay.episodes import Entry, Manifest, write_shard
from replay.faults import shard_faults
from replay.storage import Location

CONSOLE = make_console()
SHARD = 16  # episodes: as many environments play at once
BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Job:
    """One shard: `count` episodes of a task from index `first` on."""

    root: Location
    task: str
    kind: str
    seed: int
    first: int
    count: int

    @property
    def path(self) -> Location:
        return self.root / self.task.replace("/", ".") / f"{self.first // SHARD:06d}"


def collect(tasks: list[str], episodes: int, out: Location, policy: str, seed: int, workers: int) -> None:
    """Collects `episodes` of each task into `out`, or what is still missing of them.

    policy: `expert`, which is each task's own, or `random`. Raises InputError for a folder of other settings, and in
    the end where tasks could not be played; what could be is there.
    """
    if not 0 < episodes <= DATASET_SEEDS:
        raise InputError(f"--episodes: {episodes}; a collection holds 1 to {DATASET_SEEDS} episodes of a task")
    for task in tasks:
        find_kind(task, None if policy == "expert" else policy)
    _settle(out, tasks, episodes, policy, seed)
    jobs = [job for task in tasks for job in _jobs(out, task, policy, seed, episodes)]
    missing = [job for job in jobs if not _is_whole(job)]
    CONSOLE.print(f"{out}: {len(jobs) - len(missing)} of {len(jobs)} shards are there")
    failed: dict[str, str] = {}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, disable=not CONSOLE.is_terminal) as progress:
        bar = progress.add_task("episodes", total=sum(job.count for job in missing))
        for job, result in run_jobs(make_shard, missing, workers):
            progress.advance(bar, job.count)
            if isinstance(result, InputError):
                failed.setdefault(job.task, str(result))
            elif not CONSOLE.is_terminal:
                CONSOLE.print(f"{job.task}: episodes {job.first} to {job.first + job.count - 1}")
    print_dataset(out)
    if failed:
        raise InputError(f"{len(failed)} of {len(tasks)} tasks not collected: {'; '.join(failed.values())}")


def make_shard(job: Job) -> None:
    """Plays and writes one shard. Raises InputError as `make_expert`."""
    seeds = dataset_seeds(job.first, job.count, job.seed)
    kind = None if job.kind == "expert" else job.kind
    played = {episode.provenance.seed: episode for episode in play_expert(job.task, seeds, kind)}
    episodes = {job.first + i: played[seed] for i, seed in enumerate(seeds)}
    write_shard(job.path, task_spec(job.task), episodes)


def print_dataset(root: Location) -> None:
    """A line a task: what it holds, what it returns, how much room a step takes."""
    table = Table(box=None, pad_edge=False)
    for name in ("task", "policy", "episodes", "steps", "return", "from … to", "", "success", "bytes/step"):
        table.add_column(name, no_wrap=True)
    for task, shards in Dataset.open(root).shards.items():
        entries = [entry for shard in shards for entry in shard.manifest.entries]
        returns = np.array([entry.episode_return for entry in entries])
        steps = sum(entry.steps for entry in entries)
        size = sum(shard.manifest.bytes for shard in shards)
        names = ", ".join(sorted({entry.provenance.policy for entry in entries}))
        table.add_row(
            task, names, str(len(entries)), str(steps), f"{returns.mean():.2f} ± {returns.std():.2f}",
            f"{returns.min():.2f} … {returns.max():.2f}", histogram(returns), _success(entries), f"{size / steps:.0f}",
        )  # fmt: skip
    CONSOLE.print(table)


def validate_dataset(root: Location) -> None:
    """Reads everything. Raises InputError that lists every fault: file, episode and what is wrong."""
    dataset = Dataset.open(root)
    parquets = root.glob("*/*.parquet")
    faults = [f"{path}: no manifest beside it" for path in parquets if not path.with_suffix(".json").exists()]
    held: dict[str, list[int]] = {}
    for task, shards in dataset.shards.items():
        faults += [fault for shard in shards for fault in shard_faults(shard)]
        held[task] = sorted(entry.index for shard in shards for entry in shard.manifest.entries)
    for task, episodes in dataset.settings["episodes"].items():
        indices = held.get(task, [])
        if indices != list(range(episodes)):
            gaps = sorted(set(range(episodes)) - set(indices))
            what = f"the first that is missing is {gaps[0]}" if gaps else "some are there twice"
            faults.append(f"{root}: {task} has {len(indices)} of {episodes} episodes; {what}")
    if faults:
        raise InputError("\n".join(faults))
    CONSOLE.print(f"{root}: no fault found")


def histogram(values: np.ndarray, bins: int = 12) -> str:
    """The shape of a distribution in `bins` characters."""
    counts, _ = np.histogram(values, bins)
    return "".join(BARS[int(np.ceil((len(BARS) - 1) * count / counts.max()))] for count in counts)


def _settle(root: Location, tasks: list[str], episodes: int, policy: str, seed: int) -> None:
    """Writes how the dataset is made and how much of it is wanted, or checks that it is made like this.

    Raises InputError for a folder that is something else.
    """
    settings: dict[str, Any] = {"format": FORMAT, "policy": policy, "seed": seed}
    wanted: dict[str, int] = {}
    if (root / SETTINGS).exists():
        before = read_settings(root)
        for key, value in settings.items():
            if before[key] != value:
                raise InputError(f"{root}: was collected with {key} {before[key]!r}, not {value!r}; give another --out")
        wanted = before["episodes"]
    elif root.exists() and (not root.is_folder() or root.glob("*") or root.glob("*/*")):
        raise InputError(f"{root}: is there already and no dataset; give another --out")
    wanted = wanted | {task: max(episodes, wanted.get(task, 0)) for task in tasks}
    (root / SETTINGS).write_text(json.dumps(settings | {"episodes": wanted}, indent=1) + "\n")


def _jobs(root: Location, task: str, policy: str, seed: int, episodes: int) -> list[Job]:
    firsts = range(0, episodes, SHARD)
    return [Job(root, task, policy, seed, first, min(SHARD, episodes - first)) for first in firsts]


def _is_whole(job: Job) -> bool:
    manifest = job.path.with_suffix(".json")
    return manifest.exists() and len(Manifest.load(manifest).entries) >= job.count


def _success(entries: list[Entry]) -> str:
    told = [entry.success for entry in entries if entry.success is not None]
    return f"{np.mean(told):.0%}" if told else "–"
