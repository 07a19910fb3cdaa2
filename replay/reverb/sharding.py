"""One replay over several servers: which server each expert writes to, and how readers combine them.

Only the configuration decides this, so that every process comes to the same result.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import Sequences, SequenceShape
from replay.reverb.addresses import Address
from replay.reverb.sampler import CountDraws, ignore_draws, table_sequences
from replay.reverb.server import CheckpointSettings, ReplayServer
from replay.reverb.tables import TableMetrics


def shard_of(task: int, copy: int, copies: int, shards: int) -> int:
    """Returns the server that an expert writes to: experts are assigned to servers in turn.

    With as many copies as servers, every table is on all servers. With one copy, each table is on one server.

    Args:
        task: index of the expert's task.
        copy: which of the task's experts, 0 … copies − 1.
        copies: number of experts of a task.
        shards: number of servers.

    Returns:
        The server's number, 0 … shards − 1.
    """
    return (task * copies + copy) % shards


def shards_of(task: int, copies: int, shards: int) -> list[int]:
    """Returns the server of each of a task's experts. A server of two experts is listed twice."""
    return [shard_of(task, copy, copies, shards) for copy in range(copies)]


def start_shard(
    shard: int,
    shapes: Mapping[str, SequenceShape],
    config: ReplayConfig,
    *,
    copies: int,
    networks: Sequence[str] = (),
    unsharded: Mapping[str, SequenceShape] | None = None,
    replacement: bool = False,
    checkpoints: CheckpointSettings | None = None,
) -> ReplayServer:
    """Starts server number `shard` with the tables that experts write there.

    Args:
        shard: the server's number. It listens at `config.port` + shard.
        shapes: task → shape of its sequences, for all tasks in the run's order.
        config: limits of whole tables. Each server gets a share of them, in proportion to the experts that write there.
        copies: number of experts of a task.
        networks: IP addresses or networks (CIDR) of other machines that may connect.
        unsharded: further tables, table → shape. All of each is on this server.
        replacement: whether the server replaces one that died. Then it listens at a free port: data still on their way
            to the dead server must not reach this one, because their writers send them again.
        checkpoints: where checkpoints are kept; None for a server without any.

    Raises:
        InputError, RuntimeError: as `ReplayServer`.
    """
    writers = {name: shards_of(task, copies, config.shards).count(shard) for task, name in enumerate(shapes)}
    shares = {name: count / copies for name, count in writers.items() if count}
    port = 0 if replacement or not config.port else config.port + shard
    tables = {name: shapes[name] for name in shares} | dict(unsharded or {})
    return ReplayServer(
        tables,
        config.model_copy(update={"port": port}),
        networks=networks,
        shares=dict.fromkeys(tables, 1.0) | shares,
        checkpoints=checkpoints,
    )


def shard_sequences(
    addresses: Sequence[Address],
    table: str,
    shape: SequenceShape,
    *,
    task: int,
    copies: int,
    reader: int,
    make_count_draws: Callable[[], CountDraws] = lambda: ignore_draws,
) -> Iterator[Sequences]:
    """Yields uniform samples of an expert's table, which may be on several servers, in blocks, without end.

    Servers take turns, each as often as experts write to it. So every sequence is equally likely.

    Args:
        addresses: of all servers.
        table: the table's name.
        shape: shape of its sequences.
        task: index of its task.
        copies: number of experts of a task.
        reader: a number that differs between the processes that read. They start with different servers.
        make_count_draws: makes the `count_draws` function of each server (`table_sequences`).
    """
    order = shards_of(task, copies, len(addresses))
    streams = {
        shard: table_sequences(addresses[shard], table, shape, count_draws=make_count_draws())
        for shard in dict.fromkeys(order)
    }
    first = reader % copies
    return take_turns([streams[shard] for shard in order[first:] + order[:first]])


def take_turns(streams: Sequence[Iterator[Sequences]]) -> Iterator[Sequences]:
    """Yields a block of each stream in turn, again and again, until one of them ends."""
    while True:
        for stream in streams:
            block = next(stream, None)
            if block is None:
                return
            yield block


def sum_metrics(shards: Iterable[TableMetrics]) -> TableMetrics:
    """Returns the metrics of each table, summed over servers."""
    total: TableMetrics = {}
    for tables in shards:
        for name, table in tables.items():
            total[name] = total[name] + table if name in total else table
    return total
