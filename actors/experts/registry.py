"""Makes a task's expert, and the environments it acts in, from the task table."""

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gato_dist.envs.registry import make_env, task_spec
from gato_dist.episode import Provenance
from gato_dist.errors import InputError
from gato_dist.ports import Policy, VectorEnv
from gato_dist.tasks import TaskEntry, task_entry

VERSIONED = ("envpool", "gymnasium", "numpy")


@dataclass
class Demonstrator:
    """A policy and the environments it was made for."""

    env: VectorEnv
    policy: Policy

    def provenance(self, weights_version: int = -1) -> Provenance:
        """What all of its episodes share; seeds and times are the recorder's to fill in."""
        return policy_provenance(self.env.spec.name, self.policy, weights_version)


def policy_provenance(task: str, policy: Policy, weights_version: int = -1) -> Provenance:
    """Provenance of a policy's episodes: its name, the hash of its description and the packages' versions."""
    from importlib.metadata import version

    text = policy.describe()
    content = hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:16]
    versions = {name: version(name) for name in VERSIONED}
    return Provenance(task, 0, text["name"], content, weights_version=weights_version, versions=versions)


def make_expert(
    task: str, seeds: list[int], threads: int = 1, kind: str | None = None, options: dict[str, Any] | None = None
) -> Demonstrator:
    """One environment per seed and the expert that acts in them.

    kind, options: over those of the task table. Raises InputError that names the task for an unknown kind, a wrong
    option or a missing library.
    """
    entry = task_entry(task)
    chosen = kind or entry.expert
    merged = (entry.expert_options if chosen == entry.expert else {}) | (options or {})
    maker = _MAKERS.get((chosen, entry.suite)) or _MAKERS.get((chosen, "*"))
    if maker is None:
        known = sorted({name for name, suite in _MAKERS if suite in (entry.suite, "*")})
        raise InputError(f"{task}: no expert of kind {chosen!r}; there is {', '.join(known)}")
    try:
        return maker(entry, seeds, threads, merged)
    except (ImportError, TypeError) as error:
        raise InputError(f"{task}, {chosen} expert: {error}") from error


def _scripted(entry: TaskEntry, seeds: list[int], threads: int, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.scripted import MetaWorldScript

    return Demonstrator(make_env(entry.name, seeds, threads), MetaWorldScript(entry.name.split("/")[1], **options))


def _bot(entry: TaskEntry, seeds: list[int], threads: int, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.bot import BabyAIBotExpert
    from gato_dist.envs.minigrid_python import MinigridVector

    env = MinigridVector(entry.env, task_spec(entry.name), seeds)
    return Demonstrator(env, BabyAIBotExpert(env, **options))


def _random(entry: TaskEntry, seeds: list[int], threads: int, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.random import RandomPolicy

    env = make_env(entry.name, seeds, threads)
    return Demonstrator(env, RandomPolicy(env.spec.action, seeds, **options))


def _planner(module: str, name: str, world: Callable[[TaskEntry], str]) -> Callable[..., Demonstrator]:
    def make(entry: TaskEntry, seeds: list[int], threads: int, options: dict[str, Any]) -> Demonstrator:
        planner = getattr(importlib.import_module(f"actors.experts.{module}"), name)
        return Demonstrator(make_env(entry.name, seeds, threads), planner(world(entry), len(seeds), seeds[0], **options))

    return make


def _env_name(entry: TaskEntry) -> str:
    return entry.env.rsplit("-", 1)[0]


_MAKERS: dict[tuple[str, str], Callable[[TaskEntry, list[int], int, dict[str, Any]], Demonstrator]] = {
    ("scripted", "metaworld"): _scripted,
    ("bot", "babyai"): _bot,
    ("planner", "ale"): _planner("planner_ale", "AlePlanner", _env_name),
    ("planner", "procgen"): _planner("planner_procgen", "ProcgenPlanner", _env_name),
    ("planner", "dm_control"): _planner("planner_dmc", "ControlPlanner", _env_name),
    ("random", "*"): _random,
}
