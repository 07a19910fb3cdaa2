"""What a cluster's parts can do together, from what one of each was measured to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Measured on one part alone, with the rows, model and batch of the run that is meant.

    actor_rows, shard_rows, learner_rows: rows a second of an expert actor that is never held back, writing included;
    of a replay server (written and read, counted together); of one learner worker that never waits for data, reading,
    publishing and saving included. *_cpu: core-seconds that each spends on one of those rows. row_bytes, row_tokens:
    of one row. weights_bytes: of one version.
    run_cpu: core-seconds a second of a run on one node in which nothing is written or read: Ray's processes, and the
    run's own that wait. node_cpu: of each further node.
    """

    actor_rows: float
    actor_cpu: float
    shard_rows: float
    shard_cpu: float
    learner_rows: float
    learner_cpu: float
    row_bytes: float
    row_tokens: float
    weights_bytes: float
    run_cpu: float = 0.0
    node_cpu: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A cluster and how a run uses it.

    shards: replay servers, each on a node of its own, as learners are in groups of `learners_per_node`. gato_nodes:
    nodes that fetch every version of the weights. samples_per_insert: rows read for one written. link_bytes: bytes a
    second of a node's network, each way. efficiency: rate of one of many learner workers over that of one alone.
    shared_cores: where all of it stands on one machine, its cores, shared by `shared_nodes` local nodes; None: every
    part has cores enough of its own.
    """

    actors: int
    shards: int
    learners: int
    learners_per_node: int = 1
    gato_nodes: int = 1
    samples_per_insert: float = 4.0
    publish_seconds: float = 45.0
    link_bytes: float = float("inf")
    efficiency: float = 1.0
    shared_cores: float | None = None
    shared_nodes: int = 1


@dataclass(frozen=True)
class Prediction:
    """limits: rows a second that the learner could train on if only that part bounded it.

    broadcast: share of the publishing node's link that the weights take, where it sends them to every node itself;
    above 1 a version is not out before the next one.
    """

    limits: dict[str, float]
    broadcast: float

    @property
    def bottleneck(self) -> str:
        return min(self.limits, key=lambda part: self.limits[part])

    @property
    def rows(self) -> float:
        """Rows a second that the learner trains on."""
        return min(self.limits.values())


def row_seconds(rates: Rates, plan: Plan) -> float:
    """Core-seconds of a row trained on, of all parts together."""
    written = 1 / plan.samples_per_insert
    return rates.learner_cpu + rates.shard_cpu * (1 + written) + rates.actor_cpu * written


def standing_cores(rates: Rates, plan: Plan) -> float:
    """Cores that a run on shared ones takes before it makes a row."""
    return rates.run_cpu + rates.node_cpu * (plan.shared_nodes - 1)


def predict(rates: Rates, plan: Plan) -> Prediction:
    """The run goes as fast as its slowest part lets it.

    Every row that an actor writes is read `samples_per_insert` times, so that a row read costs a replay server itself
    and that part of a row written. Rows leave servers and reach learner nodes over their links.
    """
    written = 1 / plan.samples_per_insert
    learner_nodes = -(-plan.learners // plan.learners_per_node)
    limits = {
        "learner": rates.learner_rows * plan.learners * (plan.efficiency if plan.learners > 1 else 1.0),
        "actors": rates.actor_rows * plan.actors / written,
        "replay servers": rates.shard_rows * plan.shards / (1 + written),
        "replay links": plan.link_bytes * plan.shards / rates.row_bytes / max(1.0, written),
        "learner links": plan.link_bytes * learner_nodes / rates.row_bytes,
    }
    if plan.shared_cores is not None:
        free = max(plan.shared_cores - standing_cores(rates, plan), 0.0)
        limits["shared cores"] = free / row_seconds(rates, plan)
    return Prediction(limits, plan.gato_nodes * rates.weights_bytes / plan.publish_seconds / plan.link_bytes)
