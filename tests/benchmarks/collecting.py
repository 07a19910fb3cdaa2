"""Steps from environments to replay, against the environments alone: python -m tests.benchmarks.collecting

A uniform policy that draws its actions beforehand, 64 environments in one thread; Reverb's server is a process of its
own, as in a run, and a table that forgets its oldest rows takes everything at once. Stages are added one by one: what
a stage costs is the time that the line above did not need.

Shares are of processor time in the actor's process, of all its threads, Reverb's and the environments' included: on
the same cores that is the ratio of the steps a second, whatever else the machine does meanwhile. Steps a second by the
clock stand beside.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np

from actors.rollout import EpisodeRecorder, Transition, rollout
from gato_dist.config.sections import ReplayConfig
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.episode import Episode, Gathering, Observations, Provenance, join_steps
from gato_dist.ports import Info, Policy, VectorEnv
from gato_dist.sequence import Sequences
from gato_dist.specs import Modality
from gato_dist.tokens.layout import Statistics, TaskTokenizer
from gato_dist.tokens.packing import Packer, sequence_shape
from gato_dist.tokens.steps import StepTokens
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer

TASKS = ("babyai/go-to-local", "metaworld/reach-v3", "ale/pong")
ENVS, LENGTH = 64, 512
TURN = 0.3  # seconds
STEPS = 64  # episodes are cut, so that many end while the clock runs


class Drawn(Policy):
    """Uniform actions from a table that was drawn beforehand: a policy that costs next to nothing."""

    def __init__(self, env: VectorEnv) -> None:
        action, rng, shape = env.spec.action, np.random.default_rng(0), (997, len(env.seeds), *env.spec.action.shape)
        if action.modality is Modality.DISCRETE:
            self._table = rng.integers(action.num_values[0], size=shape)
        else:
            self._table = rng.uniform(-1, 1, size=shape).astype(np.float32)
        self._step = 0

    def reset(self, env_ids: np.ndarray) -> None:
        """Keeps no state of an episode."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        self._step += 1
        return self._table[self._step % len(self._table)]


def serve(shape: Any, config: ReplayConfig, port: Any) -> None:
    """Runs in a process of its own."""
    from replay.reverb.tables import start_server

    server = start_server(shape, config)
    port.send(server.port)
    port.recv()
    server.stop()


def raw(task: str, first: int = 0, envs: int = ENVS, threads: int = 1) -> Iterator[int]:
    """Yields environment steps taken by envpool alone: no adapting, no flags read. first: of the seeds."""
    env = make_env(task, list(range(first, first + envs)), threads, max_steps=STEPS)
    policy, pool = Drawn(env), env._env  # type: ignore[attr-defined]
    pool.reset()
    while True:
        pool.step(np.ascontiguousarray(policy.act({}, {}, np.ones(0)), pool.action_space.dtype))
        yield envs


def stepped(task: str, then: Callable[[VectorEnv, Transition], Any], first: int = 0) -> Iterator[int]:
    """Yields environment steps of the rollout, each handed on to `then`."""
    env = make_env(task, list(range(first, first + ENVS)), max_steps=STEPS)
    for step in rollout(env, Drawn(env)):
        then(env, step)
        yield int(step.active.sum())


@dataclass
class Spent:
    """What a stage's turns came to: environment steps, seconds, and seconds of processor time of all threads."""

    steps: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    @property
    def cpu_us(self) -> float:
        """Processor time of a step in microseconds."""
        return 1e6 * self.cpu / self.steps


def in_turns(works: dict[str, Iterator[int]], seconds: float) -> dict[str, Spent]:
    """Runs each for `seconds`, a short turn at a time, so that what else the machine does strikes all alike.

    A turn is whole rounds of episodes: most end together.
    """
    spent = {name: Spent() for name in works}
    for work in works.values():
        deque(islice(work, STEPS + 1), maxlen=0)
    while min(each.wall for each in spent.values()) < seconds:
        for name, work in works.items():
            each, began, cpu, turn = spent[name], time.perf_counter(), time.process_time(), 0.0
            while turn < TURN:
                each.steps += sum(islice(work, STEPS + 1))
                turn = time.perf_counter() - began
            each.wall += turn
            each.cpu += time.process_time() - cpu
    return spent


def make_tokenizer(task: str) -> TaskTokenizer:
    spec, text = task_spec(task), TextTokenizer.load()
    continuous = [part for part in spec.observations if part.modality is Modality.CONTINUOUS]
    statistics = {part.name: Statistics(np.zeros(part.size), np.ones(part.size)) for part in continuous}
    return Tokenizer([spec], text, "disjoint", "compact", {task: statistics}).tasks[task]


def stages(task: str, port: int, first: int = 0) -> Iterator[dict[str, Iterator[int]]]:
    """Environment steps of each stage added to those before it, while the writer is open. first: of the seeds."""
    from replay.reverb.writer import SequenceWriter

    tokenizer, source = make_tokenizer(task), Provenance(task, 0, "drawn", "")
    recorders: dict[int, EpisodeRecorder] = {}

    def record(env: VectorEnv, step: Transition) -> list[Episode]:
        if id(env) not in recorders:
            recorders[id(env)] = EpisodeRecorder(env, source)
        return recorders[id(env)].add(step)

    packer = Packer(tokenizer, LENGTH, 0, 0)
    with SequenceWriter(f"localhost:{port}", task, lambda: False) as writer:

        def tokens(gathering: Gathering, env: VectorEnv, step: Transition) -> Iterator[tuple[StepTokens, list[int]]]:
            for group in gathering.add(record(env, step)):
                yield tokenizer.encode(*join_steps(group)), [len(episode) for episode in group]

        def rows(gathering: Gathering, env: VectorEnv, step: Transition) -> Iterator[Sequences]:
            for steps, counts in tokens(gathering, env, step):
                if (packed := packer.add_episodes(steps, counts)) is not None:
                    yield packed

        def replay(gathering: Gathering, env: VectorEnv, step: Transition) -> Iterator[bool]:
            yield from map(writer.write, rows(gathering, env, step))

        def whole(stage: Callable[[Gathering, VectorEnv, Transition], Iterator[Any]]) -> Iterator[int]:
            gathering = Gathering()
            return stepped(task, lambda env, step: deque(stage(gathering, env, step), maxlen=0), first)

        yield {
            "envpool alone": raw(task, first),
            "rollout": stepped(task, lambda env, step: None, first),
            "+ recording": stepped(task, record, first),
            "+ tokens": whole(tokens),
            "+ packing": whole(rows),
            "+ Reverb": whole(replay),
        }


@contextmanager
def replay_server(task: str) -> Iterator[int]:
    """The port of a replay server in a process of its own."""
    here, there = get_context("spawn").Pipe()
    config = ReplayConfig(size=500, ahead=10**6, samples_per_insert=1.0, min_size=1)
    shapes = {task: sequence_shape(make_tokenizer(task), LENGTH)}
    server = get_context("spawn").Process(target=serve, args=(shapes, config, there), daemon=True)
    server.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        server.join(10)


def measure(task: str, seconds: float) -> dict[str, Spent]:
    """What each stage comes to when it is added to those before it."""
    with replay_server(task) as port, contextmanager(stages)(task, port) as works:
        return in_turns(works, seconds)


def report(task: str, spent: dict[str, Spent]) -> float:
    """Prints the table of a task; returns the share."""
    print(f"{task}: {ENVS} environments, one environment thread")
    alone = before = spent["envpool alone"].cpu_us
    costs = {}
    for name, each in spent.items():
        costs[name], before = each.cpu_us - before, each.cpu_us
        print(
            f"  {name:14} {alone / each.cpu_us:5.0%} {each.cpu_us:8.2f} µs a step, + {costs[name]:6.2f}"
            f"   {each.steps / each.wall:9,.0f} steps/s by the clock"
        )
    slowest = max(list(costs)[1:], key=costs.__getitem__)
    print(f"  slowest stage beside the environments: {slowest.removeprefix('+ ')}", flush=True)
    return alone / before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seconds", type=float, default=6.0, help="of each stage")
    options = parser.parse_args()
    shares = {task: report(task, measure(task, options.seconds)) for task in options.tasks.split(",")}
    levels = [share for task, share in shares.items() if task.startswith("babyai/")]
    if len(levels) > 1:
        print(f"median of {len(levels)} levels of BabyAI: {np.median(levels):.0%}")


if __name__ == "__main__":
    main()
