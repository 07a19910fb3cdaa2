"""One replay over several servers: who writes where and who reads what, decided by the configuration alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from gato_dist.config.sections import ReplayConfig
from gato_dist.sequence import Sequences, SequenceShape
from gato_dist.telemetry import TableReport
from replay.reverb.sampler import table_sequences
from replay.reverb.server import Disk, ReplayServer
from replay.reverb.tables import Address


def shard_of(task: int, copy: int, copies: int, shards: int) -> int:
    """The server that a task's expert writes to, 0 … shards − 1: experts, counted through, go round the servers.

    With as many copies as servers every table lies on all of them; with one copy tables are spread over them.
    """
    return (task * copies + copy) % shards


def shards_of(task: int, copies: int, shards: int) -> list[int]:
    """The servers of a task's table, one for each copy of its expert: a server of two copies stands there twice."""
    return [shard_of(task, copy, copies, shards) for copy in range(copies)]


def start_shard(
    shard: int,
    shapes: dict[str, SequenceShape],
    config: ReplayConfig,
    copies: int,
    networks: Sequence[str] = (),
    whole: Mapping[str, SequenceShape] | None = None,
    again: bool = False,
    disk: Disk | None = None,
) -> ReplayServer:
    """Server number `shard`, with the tables that some expert writes there; it listens at `config.port` + shard.

    shapes: of every task's rows, in the run's order. copies: experts of a task. Limits of a table are for all its
    servers together: each keeps its experts' share of them. whole: of further tables, which lie on this server alone.
    again: after one that died, at a free port: what is still on its way to that one must not reach this one, whose
    writers send it themselves. disk: where it is kept.
    """
    writers = {name: shards_of(task, copies, config.shards).count(shard) for task, name in enumerate(shapes)}
    shares = {name: count / copies for name, count in writers.items() if count}
    own = config.model_copy(update={"port": 0 if again or not config.port else config.port + shard})
    kept = {name: shapes[name] for name in shares} | dict(whole or {})
    return ReplayServer(kept, own, networks, dict.fromkeys(kept, 1.0) | shares, disk)


def shard_sequences(
    addresses: Sequence[Address],
    task: int,
    table: str,
    shape: SequenceShape,
    copies: int,
    reader: int,
    drawn: Callable[[], Callable[[np.ndarray], None]] = lambda: lambda times: None,
) -> Iterator[Sequences]:
    """Uniform samples of a table that lies on several servers, in blocks, without end.

    Servers take turns, each as often as experts write there, so that every row is as likely as any other. reader: a
    number that differs among the processes that read; they begin with different servers. drawn: makes for each server
    what is told of its rows (`table_sequences`).
    """
    order = shards_of(task, copies, len(addresses))
    sources = {shard: table_sequences(addresses[shard], table, shape, drawn=drawn()) for shard in dict.fromkeys(order)}
    first = reader % copies
    return take_turns([sources[shard] for shard in order[first:] + order[:first]])


def take_turns(sources: Sequence[Iterator[Sequences]]) -> Iterator[Sequences]:
    """A block of each source after the other, again and again, until one of them ends."""
    while True:
        for source in sources:
            block = next(source, None)
            if block is None:
                return
            yield block


def sum_metrics(shards: Iterable[dict[str, TableReport]]) -> dict[str, TableReport]:
    """Returns the counters of each table (`table_metrics`), added up over servers."""
    total: dict[str, TableReport] = {}
    for tables in shards:
        for name, table in tables.items():
            total[name] = total[name] + table if name in total else table
    return total
