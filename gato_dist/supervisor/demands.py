"""What the parts of a run reserve of Ray, and what of it no node offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gato_dist.config.run_config import RunConfig
from gato_dist.supervisor.planning import gato_actors

Amounts = Mapping[str, float]  # by the name of a resource of Ray
TINY = 1e-9


@dataclass(frozen=True)
class Demand:
    """What each of `count` processes of a part reserves, on one node.

    keys: of the configuration, by resource.
    """

    part: str
    count: int
    each: Amounts
    keys: Mapping[str, str]

    @classmethod
    def of(
        cls, part: str, count: int, cpus: tuple[str, float], own: tuple[str, Amounts], gpu: bool = False
    ) -> "Demand":
        """cpus: with the key that says so. own: a section of the configuration, and its `resources`."""
        section, amounts = own
        each = {"CPU": cpus[1], "GPU": float(gpu), **amounts}
        keys = {"CPU": cpus[0], "GPU": f"{section}.gpu"} | {name: f"{section}.resources.{name}" for name in amounts}
        return cls(part, count, {name: amount for name, amount in each.items() if amount}, keys)


def demands(config: RunConfig, live: int) -> list[Demand]:
    """Of each part of a run, while it trains. live: the number of tasks that experts demonstrate."""
    actors, learner, replay, evaluation = config.actors, config.learner, config.replay, config.evaluation
    acting = ("actors.threads", actors.threads), ("actors", actors.resources)
    found = [
        Demand.of(
            "learner worker", learner.workers, ("learner.threads", learner.threads), ("learner", learner.resources),
            learner.gpu,
        ),
        Demand.of("replay server", replay.shards, ("replay.cpus", replay.cpus), ("replay", replay.resources)),
        Demand.of("expert", live * actors.copies, *acting),
        Demand.of("Gato actor", sum(gato_actors(config, task) for task in config.tasks), *acting),
        Demand.of(
            "evaluator", evaluation.actors, ("evaluation.threads", evaluation.threads),
            ("evaluation", evaluation.resources),
        ),
    ]  # fmt: skip
    return [each for each in found if each.count]


def unmet(wanted: Sequence[Demand], nodes: Sequence[Amounts]) -> list[str]:
    """A line for everything that these nodes cannot give, even with nothing else on them.

    Args:
        wanted: of all parts.
        nodes: what each node offers.

    Returns:
        Lines that begin with the configuration's key; none if there is room for all.
    """
    lines = [line for demand in wanted if (line := _beyond_each(demand, nodes))]
    return lines or _beyond_all(wanted, nodes)


def _beyond_each(demand: Demand, nodes: Sequence[Amounts]) -> str | None:
    """What of one process no node can take."""
    if any(_fits(demand.each, node) for node in nodes):
        return None
    for name, amount in demand.each.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if amount > most + TINY:
            offered = f"no node offers more than {most:g}" if most else "no node offers any"
            return f"{demand.keys[name]}: each {demand.part} reserves {amount:g} {name}, but {offered}"
    together = " and ".join(f"{amount:g} {name}" for name, amount in demand.each.items())
    keys = ", ".join(demand.keys[name] for name in demand.each)
    return f"{keys}: each {demand.part} reserves {together}, but no node offers that together"


def _beyond_all(wanted: Sequence[Demand], nodes: Sequence[Amounts]) -> list[str]:
    """What of all processes together all nodes do not have."""
    lines = []
    for name in dict.fromkeys(name for demand in wanted for name in demand.each):
        asking = [demand for demand in wanted if name in demand.each]
        total = sum(demand.count * demand.each[name] for demand in asking)
        offered = sum(node.get(name, 0.0) for node in nodes)
        if total > offered + TINY:
            parts = ", ".join(f"{demand.count} × {demand.each[name]:g} by {demand.part}s" for demand in asking)
            keys = ", ".join(dict.fromkeys(demand.keys[name] for demand in asking))
            lines.append(f"{keys}: {total:g} {name} are reserved ({parts}), but all nodes together offer {offered:g}")
    return lines


def _fits(each: Amounts, node: Amounts) -> bool:
    return all(amount <= node.get(name, 0.0) + TINY for name, amount in each.items())
