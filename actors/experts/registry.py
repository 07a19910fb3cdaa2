"""The kinds of experts, and the functions that make a task's expert and its environments.

To add an expert for a suite:

1. Write a subclass of `gato_dist.ports.Policy`, in `planners/` or `scripts/`.
2. Write its maker in `actors.experts.makers`, or use `planner("module", "Class")` there.
3. Add a line to `EXPERT_KINDS`, such as `("planner", "toy"): ExpertKind(planner("toy", "ToyPlanner"))`.
4. Name the kind in the suite's task file, `gato_dist/assets/tasks/toy.yaml`: `defaults: {expert: planner}`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from actors.experts import makers
from actors.experts.demonstrator import Demonstrator
from actors.experts.env_factory import EnvFactory
from actors.experts.noise import NoisyExpert
from actors.experts.random_policy import RandomPolicy
from gato_dist.config.data_sections import TaskConfig
from gato_dist.errors import InputError
from gato_dist.ports import Policy
from gato_dist.tasks import TaskEntry, playable_entry, task_entry

ANY_SUITE = "*"


@dataclass(frozen=True)
class ExpertKind:
    """How experts of a kind are made.

    Attributes:
        make: makes the expert and its environments.
        labels: whether the experts implement `Policy.label`, so that they can label another policy's episodes.
        load: makes only the policy, given task, seeds and options. Kinds have it if the user names a file or code,
            which can then be checked before a run starts.
    """

    make: makers.Maker
    labels: bool = False
    load: Callable[[str, list[int], dict[str, Any]], Policy] | None = None


# (kind, family of suites) → how to make it.
EXPERT_KINDS: dict[tuple[str, str], ExpertKind] = {
    ("scripted", "metaworld"): ExpertKind(makers.make_metaworld_script, labels=True),
    ("scripted", "vizdoom"): ExpertKind(makers.make_vizdoom_script, labels=True),
    ("scripted", "manipulation"): ExpertKind(makers.make_arm_script, labels=True),
    ("bot", "babyai"): ExpertKind(makers.make_babyai_bot, labels=True),
    ("astar", "babyai"): ExpertKind(makers.make_gridworld_planner, labels=True),
    ("astar", "sokoban"): ExpertKind(makers.planner("sokoban", "SokobanPlanner"), labels=True),
    ("planner", "ale"): ExpertKind(makers.ale_planner("ale", "AlePlanner")),
    ("guided", "ale"): ExpertKind(makers.ale_planner("ale_guided", "GuidedAlePlanner")),
    ("planner", "procgen"): ExpertKind(makers.planner("procgen", "ProcgenPlanner")),
    ("planner", "dm_control"): ExpertKind(makers.planner("dm_control", "ControlPlanner")),
    ("planner", "dm_control_pixels"): ExpertKind(makers.make_pixel_planner),
    ("checkpoint", ANY_SUITE): ExpertKind(makers.make_checkpoint, labels=True, load=makers.load_checkpoint),
    ("callable", ANY_SUITE): ExpertKind(makers.make_callable, labels=True, load=makers.load_callable),
    ("random", ANY_SUITE): ExpertKind(makers.make_random),
}


def find_kind(task: str, kind: str | None) -> ExpertKind:
    """Returns a kind of expert for a task.

    Args:
        task: name of the task.
        kind: name of the kind; None for the one in the task table.

    Raises:
        InputError: if there is no such kind for the task. The message lists the kinds that exist.
    """
    entry = playable_entry(task)
    chosen = kind or entry.expert
    found = EXPERT_KINDS.get((chosen, entry.family)) or EXPERT_KINDS.get((chosen, ANY_SUITE))
    if found is None:
        known = sorted({name for name, family in EXPERT_KINDS if family in (entry.family, ANY_SUITE)})
        raise InputError(f"{task}: no expert of kind {chosen!r}; there is {', '.join(known)}")
    return found


def check_expert(config: TaskConfig) -> None:
    """Checks that a task's expert exists, without making its environments.

    Raises:
        InputError: if the kind is unknown, or the user's own expert cannot be loaded.
    """
    load = find_kind(config.name, config.expert).load
    if load is not None:
        entry = task_entry(config.name)
        options = merged_options(entry, config.expert, config.expert_options)
        with _errors_name_the_expert(config.name, config.expert or entry.expert):
            load(config.name, [0], options)


def make_expert(
    task: str,
    seeds: list[int],
    threads: int = 1,
    kind: str | None = None,
    options: dict[str, Any] | None = None,
    max_steps: int | None = None,
) -> Demonstrator:
    """Makes one environment per seed, and the expert that acts in them.

    Args:
        task: name of the task.
        seeds: one per environment.
        threads: how many threads, or processes, may step the environments.
        kind: kind of expert; None for the one in the task table.
        options: keyword arguments of the expert, which override those in the task table.
        max_steps: truncates episodes.

    Raises:
        InputError: if the kind is unknown, an option is wrong or a package is missing. The message names the task.
    """
    entry = task_entry(task)
    chosen = kind or entry.expert
    expert_kind = find_kind(task, chosen)
    envs = EnvFactory(entry=entry, seeds=seeds, threads=threads, max_steps=max_steps)
    with _errors_name_the_expert(task, chosen):
        try:
            return expert_kind.make(envs, merged_options(entry, kind, options))
        except BaseException:
            envs.close()
            raise


def make_demonstrator(config: TaskConfig, seeds: list[int], threads: int) -> Demonstrator:
    """Makes the expert of a run's task, with the run's episode limit and disturbances.

    Args:
        config: the task's section of the run's config.
        seeds: one per environment.
        threads: how many threads, or processes, may step the environments.

    Raises:
        InputError: as `make_expert`.
    """
    made = make_expert(
        config.name,
        seeds,
        threads,
        kind=config.expert,
        options=config.expert_options,
        max_steps=config.demonstration_steps,
    )
    if config.noise:
        random = RandomPolicy(made.env.spec.action, seeds)
        made.policy = NoisyExpert(made.policy, random, seeds, share=config.noise, steps=config.noise_steps)
    return made


def merged_options(entry: TaskEntry, kind: str | None, options: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the keyword arguments of an expert.

    Args:
        entry: the task. Its options count only if `kind` is the task's own kind of expert.
        kind: kind of expert; None for the task's own.
        options: override those of the task.
    """
    return (entry.expert_options if kind in (None, entry.expert) else {}) | (options or {})


@contextmanager
def _errors_name_the_expert(task: str, kind: str) -> Iterator[None]:
    """Turns errors about an expert's options or packages into an InputError that names the task."""
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"{task}, {kind} expert: {error}") from error
