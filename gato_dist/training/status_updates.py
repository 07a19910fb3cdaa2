"""Turns the reports of a live run's processes into its status, and the status into TensorBoard scalars."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gato_dist.records.usage import damaged_documents, gato_episodes, sequences_by_task
from gato_dist.sources import Source
from gato_dist.telemetry import ActorReport, TableReport, Telemetry
from gato_dist.training.status import Status
from replay.reverb.tables import table_task


@dataclass
class Rates:
    """Turns counters that only grow into rates per second.

    Attributes:
        window: seconds over which a rate is measured.
    """

    window: float = 10.0
    _history: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, name: str, total: float) -> float:
        """Returns the rate of the counter `name`, which stands at `total` now; 0 if it was reset."""
        now = time.monotonic()
        history = self._history[name]
        history.append((now, total))
        while now - history[0][0] > self.window and len(history) > 2:
            history.pop(0)
        elapsed = now - history[0][0]
        return max(total - history[0][1], 0.0) / elapsed if elapsed > 0 else 0.0


def update_from_telemetry(status: Status, telemetry: Telemetry, rates: Rates) -> None:
    """Takes over what processes report: the learner's progress, rates of actors, and episodes of experts."""
    if (learner := telemetry.learner) is not None:
        status.phase = "training" if status.phase == "starting" else status.phase
        status.update_learner(learner)
    if (delays := telemetry.use_delays) is not None:
        status.use_p50, status.use_p99 = delays.p50, delays.p99
    actors = telemetry.actors
    status.env_steps_per_second = sum(rates(f"{actor.process}/env", actor.env_steps) for actor in actors)
    status.tokens_in_per_second = sum(rates(f"{actor.process}/tokens", actor.tokens) for actor in actors)
    status.beta = min((actor.beta for actor in telemetry.gato_actors), default=None)
    episodes: Counter[str] = Counter()
    for expert in telemetry.experts:
        episodes[expert.task] += expert.episodes
    for name, task in status.tasks.items():
        task.episodes = episodes[name]


def update_from_usage(status: Status, counts: Counter[str]) -> None:
    """Takes over the counters of all starts (`gato_dist.records.usage.read_usage`)."""
    status.sequences = {source: sum(sequences_by_task(counts, source).values()) for source in Source}
    for name, count in damaged_documents(counts).items():
        status.tasks[name].damaged = count
    for name, count in gato_episodes(counts, "episodes").items():
        status.tasks[name].gato_episodes = count
    for name, count in gato_episodes(counts, "dropped").items():
        status.tasks[name].gato_dropped = count


def update_from_replay(
    status: Status, tables: Mapping[str, TableReport], actors: list[ActorReport], rates: Rates, *, table_size: int
) -> None:
    """Takes over how full the replay tables are and how fast they are read.

    Args:
        status: updated in place.
        tables: the counters of every table, by name.
        actors: what was written to them.
        rates: keeps the counters over time.
        table_size: sequences that a table holds at most.
    """
    inserted: Counter[str] = Counter()
    for name, table in tables.items():
        inserted[table_task(name)] += table.inserted
        if name in status.tasks:
            status.tasks[name].fill = table.size / table_size
    tokens: Counter[str] = Counter()
    for actor in actors:
        tokens[actor.task] += actor.tokens
    out = 0.0
    for name, table in tables.items():
        task = table_task(name)
        tokens_per_sequence = tokens[task] / max(inserted[task], 1)
        out += rates(f"{name}/sampled", table.sampled) * tokens_per_sequence
    status.tokens_out_per_second = out


def write_scalars(writer: Any, status: Status) -> None:
    """Writes the status to TensorBoard, without the values that are None.

    Args:
        writer: a `SummaryWriter`.
        status: the current one; its learner step is the position of the values.
    """
    scalars = {
        "learner/loss": status.loss,
        "learner/skipped": status.skipped,
        "learner/tokens_per_second": status.learner_tokens_per_second,
        "learner/publish_seconds": status.publish_seconds,
        "weights/use_seconds_p50": status.use_p50,
        "weights/use_seconds_p99": status.use_p99,
        "actors/env_steps_per_second": status.env_steps_per_second,
        "replay/tokens_in_per_second": status.tokens_in_per_second,
        "replay/tokens_out_per_second": status.tokens_out_per_second,
    }
    scalars |= {f"loss/{name}": task.loss for name, task in status.tasks.items()}
    scalars |= {f"replay_fill/{name}": task.fill for name, task in status.tasks.items()}
    scalars |= {f"damaged/{name}": task.damaged for name, task in status.tasks.items() if task.damaged}
    scalars |= {f"mixture/{name}": task.weight for name, task in status.tasks.items()}
    scalars["actors/beta"] = status.beta
    for name, value in scalars.items():
        if value is not None:
            writer.add_scalar(name, value, status.step)
