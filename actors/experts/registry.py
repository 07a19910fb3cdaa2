"""Makes a task's expert, and the environments it acts in, from the task table."""

import hashlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from actors.experts.noise import NoisyExpert
from actors.experts.random_policy import RandomPolicy
from gato_dist.config.sections import TaskConfig
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.episode import Provenance
from gato_dist.errors import InputError
from gato_dist.ports import Policy, VectorEnv
from gato_dist.tasks import TaskEntry, played_entry, task_entry
from gato_dist.utils.typed_json import to_json

if TYPE_CHECKING:
    from gato_dist.envs.minigrid_vector import MinigridVector

E = TypeVar("E", bound=VectorEnv)
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
    content = hashlib.sha256(to_json(text, sort_keys=True).encode()).hexdigest()[:16]
    versions = {name: version(name) for name in VERSIONED}
    return Provenance(task, 0, text["name"], content, weights_version=weights_version, versions=versions)


Maker = Callable[[TaskEntry, "_EnvMaker", dict[str, Any]], Demonstrator]


@dataclass(frozen=True)
class ExpertKind:
    """How experts of a kind are made, and whether they are `Labeller`s too.

    load: makes the policy alone, of (task, seeds, options), where what the user names may be missing.
    """

    make: Maker
    labels: bool = False
    load: Callable[[str, list[int], dict[str, Any]], Policy] | None = None


def make_demonstrator(config: TaskConfig, seeds: list[int], threads: int) -> Demonstrator:
    """The expert of a run's task as the run has it demonstrate: cut short, disturbed. Raises as `make_expert`."""
    options, steps = config.expert_options, config.demonstration_steps
    made = make_expert(config.name, seeds, threads, config.expert, options, steps)
    if config.noise:
        random = RandomPolicy(made.env.spec.action, seeds)
        made.policy = NoisyExpert(made.policy, random, config.noise, config.noise_steps, seeds)
    return made


def find_kind(task: str, kind: str | None) -> ExpertKind:
    """This kind of expert for this task. Raises InputError that lists the kinds there are."""
    entry = played_entry(task)
    chosen = kind or entry.expert
    found = _KINDS.get((chosen, entry.family)) or _KINDS.get((chosen, "*"))
    if found is None:
        known = sorted({name for name, suite in _KINDS if suite in (entry.family, "*")})
        raise InputError(f"{task}: no expert of kind {chosen!r}; there is {', '.join(known)}")
    return found


def check_expert(config: TaskConfig) -> None:
    """Raises InputError where this task's expert is of no known kind, or one of a user's that cannot be loaded."""
    load = find_kind(config.name, config.expert).load
    if load is not None:
        options = merged_options(task_entry(config.name), config.expert, config.expert_options)
        with _naming(config.name, config.expert or task_entry(config.name).expert):
            load(config.name, [0], options)


def make_expert(
    task: str,
    seeds: list[int],
    threads: int = 1,
    kind: str | None = None,
    options: dict[str, Any] | None = None,
    max_steps: int | None = None,
) -> Demonstrator:
    """One environment per seed and the expert that acts in them.

    kind, options: over those of the task table; max_steps: as in `make_env`.
    Raises InputError that names the task for an unknown kind, a wrong option or a missing library.
    """
    entry = task_entry(task)
    chosen = kind or entry.expert
    make, worlds = find_kind(task, chosen).make, _EnvMaker(seeds, threads, max_steps)
    with _naming(task, chosen):
        try:
            return make(entry, worlds, merged_options(entry, kind, options))
        except BaseException:
            worlds.close()
            raise


def merged_options(entry: TaskEntry, kind: str | None, options: dict[str, Any] | None) -> dict[str, Any]:
    """Keyword arguments of an expert: those of the task table where it is that kind, and `options` over them."""
    return (entry.expert_options if kind in (None, entry.expert) else {}) | (options or {})


@contextmanager
def _naming(task: str, kind: str) -> Iterator[None]:
    """What an expert's maker says of its options or libraries, as an InputError of this task."""
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"{task}, {kind} expert: {error}") from error


@dataclass(frozen=True)
class _EnvMaker:
    """How many environments an expert gets, and of which length; and those that were made."""

    seeds: list[int]
    threads: int
    max_steps: int | None
    made: list[VectorEnv] = field(default_factory=list)

    def make(self, entry: TaskEntry) -> VectorEnv:
        return self.keep(make_env(entry.name, self.seeds, self.threads, self.max_steps))

    def keep(self, env: E) -> E:
        self.made.append(env)
        return env

    def close(self) -> None:
        for env in self.made:
            env.close()


def _scripted(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.scripts.metaworld import MetaWorldScript

    return Demonstrator(worlds.make(entry), MetaWorldScript(entry.name.split("/")[1], **options))


def _vizdoom_script(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.scripts.vizdoom import VizdoomScript

    script = VizdoomScript(entry.env, len(worlds.seeds), **options)
    return Demonstrator(worlds.make(entry), script)


def _arm_script(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.scripts.grasp import GOALS, GraspScript
    from actors.experts.scripts.reach import TARGETS, ReachScript

    script = dict.fromkeys(TARGETS, ReachScript) | dict.fromkeys(GOALS, GraspScript)
    if entry.env not in script:
        raise ValueError(f"no script for {entry.env}; there is one for {', '.join(script)}")
    env = worlds.make(entry)
    return Demonstrator(env, script[entry.env](entry.env, np.asarray(env.spec.action.high), **options))


def _minigrid(entry: TaskEntry, worlds: _EnvMaker) -> "MinigridVector":
    from gato_dist.envs.minigrid_vector import MinigridVector

    options = dict(entry.options)
    limit = options.pop("max_episode_steps", None)
    spec, most = task_spec(entry.name), worlds.max_steps or limit
    return worlds.keep(MinigridVector(entry.env, spec, worlds.seeds, most, options))


def _bot(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.planners.babyai_bot import BabyAIBotExpert

    env = _minigrid(entry, worlds)
    return Demonstrator(env, BabyAIBotExpert(env, **options))


def _gridworld(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.planners.gridworld import GridworldPlanner

    env = _minigrid(entry, worlds)
    return Demonstrator(env, GridworldPlanner(env, **options))


def _callable(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    return Demonstrator(worlds.make(entry), _load_callable(entry.name, worlds.seeds, options))


def _load_callable(task: str, seeds: list[int], options: dict[str, Any]) -> Policy:
    from actors.experts.callable_expert import CallableExpert

    return CallableExpert(task_spec(task), seeds, **options)


def _random(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    env = worlds.make(entry)
    return Demonstrator(env, RandomPolicy(env.spec.action, worlds.seeds, **options))


def _checkpoint(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    expert = _load_checkpoint(entry.name, worlds.seeds, options)
    return Demonstrator(worlds.make(entry), expert)


def _load_checkpoint(task: str, seeds: list[int], options: dict[str, Any]) -> Policy:
    from actors.experts.rl.checkpoint import CheckpointExpert

    return CheckpointExpert(task_spec(task), seeds, **options)


def _ale(module: str, name: str) -> Maker:
    """A planner that a shadow emulator serves: refuses the environments that no shadow can follow."""

    def make(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
        from actors.experts.planners.ale_emulator import check_options

        check_options(entry.options)
        return _planner(module, name)(entry, worlds, options)

    return make


def _planner(module: str, name: str) -> Maker:
    def make(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
        planner = getattr(importlib.import_module(f"actors.experts.planners.{module}"), name)
        env = worlds.make(entry)
        return Demonstrator(env, planner(entry.env, len(worlds.seeds), worlds.seeds[0], **options))

    return make


def _pixel_planner(entry: TaskEntry, worlds: _EnvMaker, options: dict[str, Any]) -> Demonstrator:
    from actors.experts.state_expert import StateExpert
    from gato_dist.envs.suites import dm_control

    made = _planner("dm_control", "ControlPlanner")(entry, worlds, options)
    parts = [part.name for part in dm_control.spec(entry).observations]
    return Demonstrator(made.env, StateExpert(made.policy, parts))


_KINDS: dict[tuple[str, str], ExpertKind] = {
    ("scripted", "metaworld"): ExpertKind(_scripted, labels=True),
    ("scripted", "vizdoom"): ExpertKind(_vizdoom_script, labels=True),
    ("scripted", "manipulation"): ExpertKind(_arm_script, labels=True),
    ("bot", "babyai"): ExpertKind(_bot, labels=True),
    ("astar", "babyai"): ExpertKind(_gridworld, labels=True),
    ("astar", "sokoban"): ExpertKind(_planner("sokoban", "SokobanPlanner"), labels=True),
    ("planner", "ale"): ExpertKind(_ale("ale", "AlePlanner")),
    ("guided", "ale"): ExpertKind(_ale("ale_guided", "GuidedAlePlanner")),
    ("planner", "procgen"): ExpertKind(_planner("procgen", "ProcgenPlanner")),
    ("planner", "dm_control"): ExpertKind(_planner("dm_control", "ControlPlanner")),
    ("planner", "dm_control_pixels"): ExpertKind(_pixel_planner),
    ("checkpoint", "*"): ExpertKind(_checkpoint, labels=True, load=_load_checkpoint),
    ("callable", "*"): ExpertKind(_callable, labels=True, load=_load_callable),
    ("random", "*"): ExpertKind(_random),
}
