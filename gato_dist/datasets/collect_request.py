"""What a collection is asked for, and which policy plays it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_dist.config.data_sections import TaskConfig
from gato_dist.datasets.collect_plan import CollectionGoal
from gato_dist.errors import InputError
from gato_dist.evaluation.players import CheckpointRef, EvaluationOverrides, load_player
from gato_dist.scores.references import load_reference
from replay.dataset.storage import Location


@dataclass(frozen=True, kw_only=True)
class CollectionRequest:
    """What to collect.

    Attributes:
        tasks: the tasks, with their experts' settings.
        goal: what is wanted of each task.
        out: the dataset's folder, on this machine or a URL.
        policy: `expert` for each task's own expert, `random`, or a checkpoint's path.
        min_fraction: expert-score fraction below which an episode is dropped (paper, appendix: 0.8).
        seed: chooses the episodes' seeds.
        workers: number of shards that are played at once; None: as `run_jobs`.
        address: address of a Ray cluster; None: this machine.
    """

    tasks: tuple[TaskConfig, ...]
    goal: CollectionGoal
    out: Location
    policy: str = "expert"
    min_fraction: float | None = None
    seed: int = 0
    workers: int | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class CollectionPolicy:
    """Who plays.

    Attributes:
        name: what dataset.json calls the policy: `expert`, `random` or `gato`.
        tasks: the tasks with the experts that play them. A checkpoint plays undisturbed, whole episodes.
        checkpoint: the checkpoint that plays, if any.
        checkpoint_card: what dataset.json says about that checkpoint.
    """

    name: str
    tasks: list[TaskConfig]
    checkpoint: CheckpointRef | None = None
    checkpoint_card: dict[str, Any] | None = None


def resolve_policy(request: CollectionRequest) -> CollectionPolicy:
    """Returns the policy that a request names.

    Raises:
        InputError: if the policy is neither a known name nor a whole checkpoint, or if the checkpoint does not know a
            task.
    """
    names = [task.name for task in request.tasks]
    if request.policy == "expert":
        return CollectionPolicy(name="expert", tasks=list(request.tasks))
    if request.policy == "random":
        return CollectionPolicy(name="random", tasks=[TaskConfig(name=name, expert="random") for name in names])
    path = Path(request.policy)
    if not (path.is_file() or (path / "counters.json").exists()):
        raise InputError(f"--policy: {request.policy!r} is neither expert, random nor a checkpoint")
    checkpoint = CheckpointRef.of(path)
    player = load_player(checkpoint, EvaluationOverrides(threads=1))
    known = player.tokenizer.tasks
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{unknown[0]}: the checkpoint's tasks are {', '.join(known)}")
    card = {
        "name": checkpoint.path.name,
        "sha256": checkpoint.content_hash,
        "step": player.counters.step,
        "weights_version": player.counters.weights_version,
    }
    tasks = [TaskConfig(name=name) for name in names]
    return CollectionPolicy(name="gato", tasks=tasks, checkpoint=checkpoint, checkpoint_card=card)


def min_returns(tasks: list[TaskConfig], min_fraction: float | None) -> dict[str, float]:
    """Returns the return of each task that an expert-score fraction stands for; empty without a fraction.

    Raises:
        InputError: if a task has no reference scores, an expert no better than random, or episodes that are cut short.
    """
    if min_fraction is None:
        return {}
    found = {}
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
        found[task.name] = random + min_fraction * (expert - random)
    return found
