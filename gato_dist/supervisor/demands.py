"""What a run's processes reserve of Ray, and what of it no node offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gato_dist.config.run_config import RunConfig
from gato_dist.supervisor.planning import gato_actors

Amounts = Mapping[str, float]  # by name of a Ray resource
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the processes of one kind reserve.

    Attributes:
        process: the kind of process, such as "expert".
        count: how many there are.
        each: what each of them reserves on one node.
        keys: the configuration's key, by resource.
    """

    process: str
    count: int
    each: Amounts
    keys: Mapping[str, str]


def make_demand(
    process: str, count: int, *, section: str, cpus: float, cpus_key: str, resources: Amounts, gpu: bool = False
) -> Demand:
    """Returns the demand of processes whose settings are in one section of the configuration.

    Args:
        process: the kind of process.
        count: how many there are.
        section: name of the section.
        cpus: CPUs of each.
        cpus_key: the section's key of these.
        resources: custom resources of each.
        gpu: whether each needs a GPU.
    """
    amounts = {"CPU": cpus, "GPU": float(gpu), **resources}
    keys = {"CPU": f"{section}.{cpus_key}", "GPU": f"{section}.gpu"}
    keys |= {name: f"{section}.resources.{name}" for name in resources}
    return Demand(
        process=process, count=count, each={name: amount for name, amount in amounts.items() if amount}, keys=keys
    )


def demands(config: RunConfig, live: int) -> list[Demand]:
    """Returns what all processes of a run reserve while it trains.

    Args:
        config: of the run.
        live: number of tasks that have live experts.
    """
    actors, learner, replay, evaluation = config.actors, config.learner, config.replay, config.evaluation
    gato = sum(gato_actors(config.relabel, task) for task in config.tasks)
    acting = partial(make_demand, section="actors", cpus=actors.threads, cpus_key="threads", resources=actors.resources)
    found = [
        make_demand(
            "learner worker", learner.workers, section="learner", cpus=learner.threads, cpus_key="threads",
            resources=learner.resources, gpu=learner.gpu,
        ),
        make_demand(
            "replay server", replay.shards, section="replay", cpus=replay.cpus, cpus_key="cpus",
            resources=replay.resources,
        ),
        acting("expert", live * actors.copies),
        acting("Gato actor", gato),
        make_demand(
            "evaluator", evaluation.actors, section="evaluation", cpus=evaluation.threads, cpus_key="threads",
            resources=evaluation.resources,
        ),
    ]  # fmt: skip
    return [demand for demand in found if demand.count]


def unmet(wanted: Sequence[Demand], nodes: Sequence[Amounts]) -> list[str]:
    """Returns a line for everything that these nodes could not offer even if nothing else ran on them.

    Args:
        wanted: the demands of all processes.
        nodes: what each node offers.

    Returns:
        Lines that begin with the configuration's key; an empty list if there is room for all processes.
    """
    lines = [line for demand in wanted if (line := _unmet_by_any_node(demand, nodes))]
    return lines or _unmet_by_all_nodes(wanted, nodes)


def _unmet_by_any_node(demand: Demand, nodes: Sequence[Amounts]) -> str | None:
    """Returns what of one process no node could offer."""
    if any(_fits(demand.each, node) for node in nodes):
        return None
    for name, amount in demand.each.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if amount > most + ROUNDING:
            offered = f"no node offers more than {most:g}" if most else "no node offers any"
            return f"{demand.keys[name]}: each {demand.process} reserves {amount:g} {name}, but {offered}"
    together = " and ".join(f"{amount:g} {name}" for name, amount in demand.each.items())
    keys = ", ".join(demand.keys[name] for name in demand.each)
    return f"{keys}: each {demand.process} reserves {together}, but no node offers that together"


def _unmet_by_all_nodes(wanted: Sequence[Demand], nodes: Sequence[Amounts]) -> list[str]:
    """Returns what all processes together reserve beyond what all nodes offer together."""
    lines = []
    for name in dict.fromkeys(name for demand in wanted for name in demand.each):
        asking = [demand for demand in wanted if name in demand.each]
        total = sum(demand.count * demand.each[name] for demand in asking)
        offered = sum(node.get(name, 0.0) for node in nodes)
        if total > offered + ROUNDING:
            parts = ", ".join(f"{demand.count} × {demand.each[name]:g} by {demand.process}s" for demand in asking)
            keys = ", ".join(dict.fromkeys(demand.keys[name] for demand in asking))
            lines.append(f"{keys}: {total:g} {name} are reserved ({parts}), but all nodes together offer {offered:g}")
    return lines


def _fits(each: Amounts, node: Amounts) -> bool:
    return all(amount <= node.get(name, 0.0) + ROUNDING for name, amount in each.items())
