"""The replay server: a Reverb table per task and source, its signature, limits and sampling decided here together."""

import math
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gato_dist.config.sections import ReplayConfig
from gato_dist.errors import InputError
from gato_dist.sequence import SequenceShape, sequence_bytes
from gato_dist.sources import Source
from gato_dist.telemetry import TableReport
from gato_dist.utils.missing_packages import reverb_advice
from gato_dist.utils.port_filter import answer_only

ROW = "row"
TRIES = 5  # free ports that somebody else may take first
PORT_SECONDS = 10.0


@dataclass(frozen=True)
class ServerAddress:
    """Where a replay server is. address: host:port; start: its number among those that followed one another.

    covered: by table and seed block, the item id of the newest row that its newest checkpoint holds
    (`replay.checkpoints.newest_rows`).
    """

    address: str
    start: int = 0
    covered: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def same(self, other: "ServerAddress") -> bool:
        """Whether it is the same server, whatever its checkpoints."""
        return (self.address, self.start) == (other.address, other.start)


Address = str | Callable[[], ServerAddress]  # host:port, or what tells where a server is now


def where(address: Address) -> ServerAddress:
    """A server at this moment."""
    return ServerAddress(address) if isinstance(address, str) else address()


def table_name(task: str, source: Source = Source.EXPERT) -> str:
    """The table of a task's rows from one source; that of its expert bears the task's own name."""
    return task if source is Source.EXPERT else f"{task}:{source}"


def table_task(table: str) -> str:
    """The task whose rows a table holds."""
    return table.split(":", 1)[0]


def import_reverb() -> Any:
    """The reverb module, TensorFlow's chatter silenced. Raises ImportError that names what to install."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Empty, it keeps gRPC, and gRPC alone, from http_proxy and the like: replay is on this machine or in its cluster,
    # and a proxy would wait for it in vain. Reverb lets nobody say so to its channels.
    os.environ["grpc_proxy"] = ""  # noqa: SIM112, gRPC reads it by this name
    try:
        import reverb
    except ImportError as error:
        raise ImportError(f"{reverb_advice()} ({error})") from error
    return reverb


def import_tensorflow() -> Any:
    """The tensorflow module, on one thread: other processes need the cores more. It can be told so only at first."""
    import_reverb()
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    return tensorflow


def make_table(name: str, shape: SequenceShape, config: ReplayConfig) -> Any:
    """A uniform table of rows as bytes, that forgets its oldest.

    Sampling waits for `min_size` rows and never again: a slow expert must not hold up the mixture. Inserting waits
    while rows·samples_per_insert − samples exceeds ahead·samples_per_insert: that is the experts' backpressure.
    """
    reverb, tf = import_reverb(), import_tensorflow()
    # One array of bytes: Reverb spends on each array of an item what it spends on tens of thousands of its bytes.
    signature = {ROW: tf.TensorSpec((sequence_bytes(shape),), tf.uint8)}
    limiter = reverb.rate_limiters.RateLimiter(
        samples_per_insert=config.samples_per_insert,
        min_size_to_sample=config.min_size,
        min_diff=-sys.float_info.max,
        max_diff=config.ahead * config.samples_per_insert,
    )
    return reverb.Table(
        name, reverb.selectors.Uniform(), reverb.selectors.Fifo(), config.size, limiter, signature=signature
    )


def part_of(config: ReplayConfig, share: float) -> ReplayConfig:
    """A table's limits where a server keeps this share of it, 0 … 1."""
    limits = {key: math.ceil(getattr(config, key) * share) for key in ("size", "ahead", "min_size")}
    return config.model_copy(update=limits)


def start_server(
    shapes: dict[str, SequenceShape],
    config: ReplayConfig,
    networks: Sequence[str] = (),
    shares: Mapping[str, float] | None = None,
    checkpointer: Any = None,
) -> Any:
    """A Reverb server with a table per shape, by name; its `port` is `config.port`, or a free one where that is 0.

    Reverb itself binds every interface and authenticates nobody. Here this machine and `networks` alone reach it.
    shares: of each table, what this server keeps; all of it where not given. checkpointer: Reverb's, of a folder that
    it may delete from; a temporary one where not given.
    Raises InputError where the port is taken, RuntimeError where the kernel does not keep the others out.
    """
    shares = shares or dict.fromkeys(shapes, 1.0)
    if config.port:
        _wait_for_port(config.port)
    tries = 0
    while True:
        tries += 1
        tables = [make_table(name, shape, part_of(config, shares[name])) for name, shape in shapes.items()]
        try:
            server = import_reverb().Server(tables, port=config.port or None, checkpointer=checkpointer)
        except ValueError as error:
            # Somebody else took the free port that was found.
            if "BuildAndStart" not in str(error) or config.port or tries == TRIES:
                raise
        else:
            admit(server, networks)
            return server


def check_port(port: int) -> None:
    """Raises InputError where nothing can listen at this port of `replay.port` and those after it.

    Reverb itself would share it with another Reverb, and connections fall to the one or the other.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            message = f"replay.port: {port} is in use or not allowed; give another, or 0 for free ones"
            raise InputError(message) from error


def _wait_for_port(port: int) -> None:
    """For the server of a run that has just died, which may still be there; else as `check_port`."""
    until = time.monotonic() + PORT_SECONDS
    while True:
        try:
            return check_port(port)
        except InputError:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def admit(server: Any, networks: Sequence[str]) -> None:
    """Puts the networks that may reach a server of this process in the place of those before.

    Raises RuntimeError, and stops the server, if the kernel does not keep the others out.
    """
    try:
        answer_only(server.port, networks)
    except RuntimeError as error:
        server.stop()
        raise RuntimeError(f"replay: {error}") from error


def table_metrics(server_info: dict[str, Any]) -> dict[str, TableReport]:
    """Returns the counters of each table, from `reverb.Client.server_info`."""
    return {
        name: TableReport(
            size=info.current_size,
            inserted=info.rate_limiter_info.insert_stats.completed,
            sampled=info.rate_limiter_info.sample_stats.completed,
        )
        for name, info in server_info.items()
    }
