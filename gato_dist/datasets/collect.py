"""`gato-dist collect`: episodes of experts, of chance or of Gato on disk, as a dataset.

A dataset is a folder: `dataset.json` says how it is made, and each task has a folder of shards (replay/dataset/episodes.py).
Episode i of a task always plays the same world, so that a shard is the same whoever makes it: a collection that was
killed goes on with the shards that are missing, and two at once do no harm.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.experts.registry import check_expert, merged_options
from gato_dist.config.sections import TaskConfig
from gato_dist.datasets.card import write_card
from gato_dist.datasets.collect_plan import Goal, Span, TaskPlan
from gato_dist.datasets.collect_progress import CollectProgress
from gato_dist.datasets.collect_shard import Job, make_shard
from gato_dist.datasets.inspect import print_dataset
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference
from gato_dist.seeds import DATASET_SEEDS
from gato_dist.supervisor.jobs import JobFailed, failure, run_jobs
from gato_dist.tasks import task_entry
from gato_dist.utils.console import make_console
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.typed_json import to_json
from replay.dataset.dataset import FORMAT, SETTINGS, Dataset, read_settings, read_shards
from replay.dataset.shards import Manifest
from replay.dataset.storage import Location

CONSOLE = make_console()
PER_TASK = ("experts", "min_returns")
# What a task's configuration says of its expert; the rest is about learning.
EXPERT_KEYS = ("expert", "expert_options", "demonstration_steps", "noise", "noise_steps")


@dataclass(frozen=True)
class Request:
    """What is to be collected.

    policy: `expert`, which is each task's own as `tasks` has it, `random`, or a checkpoint's folder.
    min_fraction: expert-score fraction below which an episode is dropped (paper, appendix: 0.8).
    workers, address: as `run_jobs`.
    """

    tasks: tuple[TaskConfig, ...]
    goal: Goal
    out: Location
    policy: str = "expert"
    min_fraction: float | None = None
    seed: int = 0
    workers: int | None = None
    address: str | None = None


def collect(request: Request) -> None:
    """Collects what is wanted of each task into `out`, or what is still missing of it.

    Raises InputError for what the user can mend, before anything is written where that can be known, and JobFailed
    for what failed else; both in the end, by task: the other tasks are there.
    """
    if request.goal.episodes > DATASET_SEEDS:
        raise InputError(f"--episodes: {request.goal.episodes}; a collection holds 1 to {DATASET_SEEDS} of a task")
    collection = _Collection(request)
    collection.run()
    # Another collection may have written what it wants at the same moment.
    collection.settle()
    write_card(Dataset.open(request.out))
    print_dataset(request.out)
    if collection.failed:
        raise failure(collection.failed, f"{len(collection.failed)} of {len(request.tasks)} tasks not collected")


class _Collection:
    """One collection in progress."""

    def __init__(self, request: Request) -> None:
        """Raises InputError where a task, an expert, a checkpoint or a reference that it needs is not there."""
        self._request, self._root = request, request.out.absolute()
        self._tasks, self._checkpoint = list(request.tasks), None
        names = [task.name for task in self._tasks]
        card = None
        if request.policy == "random":
            self._tasks = [TaskConfig(name=name, expert="random") for name in names]
        elif request.policy != "expert":
            self._checkpoint = str(Path(request.policy).absolute())
            card = _checkpoint_card(request.policy, names)
            self._tasks = [TaskConfig(name=name) for name in names]
        self._least = _least_returns(self._tasks, request.min_fraction)
        settings = {
            "format": FORMAT, "policy": "gato" if card else request.policy, "checkpoint": card, "seed": request.seed,
            "min_fraction": request.min_fraction, "min_returns": self._least,
            "experts": {} if card else {task.name: _expert_card(task) for task in self._tasks},
        }  # fmt: skip
        # As it is read again: lists for tuples, strings for keys.
        self._settings: dict[str, Any] = json.loads(to_json(settings))
        self._plans: dict[str, TaskPlan] = {}
        self.failed: dict[str, InputError | JobFailed] = {}

    def settle(self) -> None:
        """Writes how the dataset is made and how much of it is wanted. Raises InputError where it cannot be."""
        try:
            self._settle()
        except OSError as error:
            raise InputError(f"{self._request.out}: cannot be written to ({_brief(error)})") from error

    def check(self) -> dict[str, Any]:
        """How the dataset is made so far. Raises InputError where that is another way, or what is there is none."""
        root, out = self._root, self._request.out
        try:
            # Looked for first: another collection, which began with its settings, may begin just now.
            taken = root.exists() and (not root.is_folder() or root.glob("*") or root.glob("*/*"))
            if (root / SETTINGS).exists():
                before = read_settings(root)
                _check_same(out, before, self._settings)
                return before
        except OSError as error:
            raise InputError(f"{out}: cannot be read ({_brief(error)})") from error
        if taken:
            raise InputError(f"{out}: is there already and no dataset; give another --out")
        return {}

    def _settle(self) -> None:
        before, goal = self.check(), self._request.goal
        settings = before | self._settings
        for key in PER_TASK:
            settings[key] = before.get(key, {}) | self._settings[key]
        for key, count in (("episodes", goal.episodes), ("steps", goal.steps)):
            wanted = before.get(key, {})
            more = {task.name: max(count, wanted.get(task.name, 0)) for task in self._tasks if count}
            settings[key] = wanted | more
        if settings != before:
            (self._root / SETTINGS).write_text(to_json(settings, indent=1) + "\n")

    def run(self) -> None:
        """Plays until every task has what it wants, or cannot; then nothing is left that it does not need."""
        self.check()
        _check_folders(self._root, [task.name for task in self._tasks])
        self._plan()
        played = sum(plan.played for plan in self._plans.values())
        CONSOLE.print(f"{self._request.out}: {played:,} episodes are there", soft_wrap=True)
        while any(not plan.complete for plan in self._plans.values()):
            self._play()
            # As it lies there: another collection may have taken away what it thought was too much.
            self._plan()
        self._tidy()

    def _plan(self) -> None:
        for task in self._tasks:
            if task.name not in self.failed:
                try:
                    self._plans[task.name] = self._plan_of(task, self._request.goal)
                except InputError as error:
                    self._fail(task.name, error)

    def _plan_of(self, task: TaskConfig, goal: Goal) -> TaskPlan:
        longest = (task.demonstration_steps or task_spec(task.name).max_steps) if goal.steps else 0
        return TaskPlan(goal, task.name in self._least, longest, _held(self._root, task.name))

    def _play(self) -> None:
        results = run_jobs(make_shard, self._jobs().__next__, self._request.workers, self._request.address)
        # Nothing is written where no cluster answers.
        self.settle()
        with CollectProgress(self._plans, CONSOLE) as progress:
            for job, result in results:
                name = job.task.name
                if isinstance(result, InputError | JobFailed):
                    self._fail(name, result)
                elif name in self._plans:
                    plan = self._plans[name]
                    plan.add(result.span)
                    progress.add(name, result)
                    if plan.stuck:
                        self._fail(name, InputError(f"{name}: {plan.stuck}{self._what_is_good(name)}"))

    def _jobs(self) -> Iterator[Job | None]:
        """A shard of each task in turn; None whenever there is nothing to play before another shard has ended."""
        while True:
            waits = True
            for task in self._tasks:
                block = self._plans[task.name].take() if task.name in self._plans else None
                if block:
                    waits = False
                    least = self._least.get(task.name)
                    yield Job(self._root, task, self._checkpoint, self._request.seed, block, least)
            if waits:
                yield None

    def _fail(self, name: str, error: InputError | JobFailed) -> None:
        self.failed.setdefault(name, error)
        self._plans.pop(name, None)

    def _what_is_good(self, name: str) -> str:
        least = self._least.get(name)
        return "" if least is None else f": --min-fraction {self._request.min_fraction} is a return of {least:.4g}"

    def _tidy(self) -> None:
        """Deletes shards beyond the goal, which several workers may have made, and what killed writers left."""
        settings = read_settings(self._root)
        for task in self._tasks:
            if task.name not in self._plans:
                continue
            folder = self._root / task_file_name(task.name)
            goal = Goal(settings["episodes"].get(task.name, 0), settings["steps"].get(task.name, 0))
            for first in self._plan_of(task, goal).surplus():
                # The manifest first: without it, there is no shard.
                (folder / f"{first:06d}.json").unlink()
                (folder / f"{first:06d}.parquet").unlink()
            folder.delete_stale_partials()


def _brief(error: OSError) -> str:
    return " ".join(str(error).split())[:200]


def _check_folders(root: Location, tasks: list[str]) -> None:
    """Raises InputError for a folder that an older version, or a hand, gave another name: it would be played again."""
    folders: dict[str, Location] = {}
    for path in root.glob("*/*.json"):
        folders.setdefault(path.parent.name, path)
    for folder in folders.keys() - {task_file_name(task) for task in tasks}:
        task = Manifest.load(folders[folder]).spec.name
        if task in tasks:
            raise InputError(
                f"{root / folder}: holds {task}, whose folder is {task_file_name(task)}; rename it to that"
            )


def _held(root: Location, task: str) -> list[Span]:
    """Shards that are there. Raises InputError where one is damaged, or not of a collection."""
    shards = read_shards((root / task_file_name(task)).glob("*.json"))
    for shard in shards:
        known = shard.manifest.indices
        if not known or known != list(range(known[0], known[-1] + 1)) or shard.path.name != f"{known[0]:06d}.json":
            raise InputError(f"{shard.path}: not a collection's: its episodes are not those that its name stands for")
    return [Span.of(shard.manifest) for shard in shards]


def _check_same(out: Location, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises InputError where a dataset was collected in another way, by the key that differs."""
    for key, value in now.items():
        told = before[key]
        if key in PER_TASK:
            different = [name for name in value.keys() & told.keys() if value[name] != told[name]]
            if not different:
                continue
            key, value, told = f"{key} of {different[0]}", value[different[0]], told[different[0]]
        if told != value:
            raise InputError(f"{out}: was collected with {key} {told!r}, not {value!r}; give another --out")


def _expert_card(task: TaskConfig) -> dict[str, Any]:
    """What demonstrates a task, as a configuration would say it."""
    check_expert(task)
    options = merged_options(task_entry(task.name), task.expert, task.expert_options)
    card = task.model_dump(mode="json", include=set(EXPERT_KEYS))
    return card | {"expert": task.expert or task_entry(task.name).expert, "expert_options": options}


def _checkpoint_card(policy: str, tasks: list[str]) -> dict[str, Any]:
    """Which checkpoint plays. Raises InputError where it is none, or does not know one of the tasks."""
    path = Path(policy)
    if not (path.is_file() or (path / "counters.json").exists()):
        raise InputError(f"--policy: {policy!r} is neither expert, random nor a checkpoint")
    from learner.checkpoint import content_hash, load_for_acting

    _, tokenizer, _, counters = load_for_acting(path)
    if unknown := [name for name in tasks if name not in tokenizer.tasks]:
        raise InputError(f"{unknown[0]}: the checkpoint's tasks are {', '.join(tokenizer.tasks)}")
    card = {"name": path.resolve().name, "sha256": content_hash(path)}
    return card | {"step": counters.step, "weights_version": counters.weights_version}


def _least_returns(tasks: list[TaskConfig], fraction: float | None) -> dict[str, float]:
    """The return that `fraction` stands for in each task; none where nothing is dropped.

    Raises InputError, which names the task, where that has no reference scores or they leave it undefined.
    """
    if fraction is None:
        return {}
    least = {}
    for task in tasks:
        reference = load_reference(task.name)
        random, expert = reference.random.mean, reference.expert.mean
        if expert <= random:
            raise InputError(f"--min-fraction: {task.name}'s expert scores {expert:g}, no more than random: {random:g}")
        if task.demonstration_steps:
            raise InputError(
                f"--min-fraction: {task.name} is cut after demonstration_steps {task.demonstration_steps}, "
                "but its reference scores are of whole episodes; leave one of the two out"
            )
        least[task.name] = random + fraction * (expert - random)
    return least
