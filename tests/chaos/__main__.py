"""Kills processes of a real run at random moments and checks that it recovers.

`python -m tests.chaos --minutes M --seed S`. With `--faults node`, it kills whole nodes of a cluster of three on this
machine. Run for an hour, it is a soak test: it prints memory and open files of every kind of process at the start, in
the middle and at the end.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.checks import Items, check_checkpoints, check_scores
from tests.chaos.faults import FAULTS, Fault, inject
from tests.chaos.nodes import Nodes, three_nodes
from tests.chaos.running import Running, usage

PROCESS_FAULTS = [kind for kind in FAULTS if kind != "node"]


def chaos(
    folder: Path,
    minutes: float,
    seed: int,
    *,
    kinds: list[str],
    console: Console,
    pause: float,
    nodes: Nodes | None = None,
) -> dict[str, list[float]]:
    """Kills processes until the time is over and every kind of fault has occurred.

    Args:
        folder: for the run.
        minutes: how long.
        seed: of the order of faults and of the pauses.
        kinds: keys of `FAULTS`.
        console: for progress.
        pause: mean seconds from a recovery to the next kill.
        nodes: the cluster that the run joins; None for one of its own.

    Returns:
        Fault → seconds of each recovery.

    Raises:
        AssertionError: data were lost, or the run did not recover.
    """
    draw, running = random.Random(seed), Running(folder, nodes)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    until, moments = time.monotonic() + 60 * minutes, [("start", 0.0), ("middle", 0.5), ("end", 1.0)]
    running.start()
    running.wait_for_training()
    running.wait_for_checkpoint()
    items, began = Items(running), time.monotonic()
    order: list[str] = []
    while time.monotonic() < until or not all(seconds.values()):
        passed = (time.monotonic() - began) / max(until - began, 1)
        if moments and passed >= moments[0][1]:
            console.print(usage_table(moments.pop(0)[0], running))
        # Every kind once in a random order, then again.
        order = order or draw.sample(kinds, len(kinds))
        kind = order.pop()
        time.sleep(pause * draw.uniform(0.5, 1.5))
        took = inject(FAULTS[kind], running, draw, items)
        seconds[kind].append(took)
        console.print(f"{time.monotonic() - began:7.1f} s  {kind}: {took:.1f} s", highlight=False)
    for name, _ in moments[-1:]:
        console.print(usage_table(name, running))
    code = running.end()
    assert code == 130, f"exit code {code}: {running.output()}"
    rows = check_scores(running.run)
    check_checkpoints(running.run)
    console.print(f"{rows} complete lines of scores.csv; {items.known} items seen, none stored twice, none lost")
    return seconds


def result_table(seconds: dict[str, list[float]], faults: dict[str, Fault]) -> Table:
    table = Table(title="from SIGKILL to recovery", box=None, pad_edge=False)
    for name in ("fault", "n", "median", "worst", "kept"):
        table.add_column(name, justify="right" if name in ("n", "median", "worst") else "left")
    for kind, found in seconds.items():
        middle, worst = f"{statistics.median(found):.1f} s", f"{max(found):.1f} s"
        table.add_row(kind, str(len(found)), middle, worst, faults[kind].kept)
    return table


def usage_table(when: str, running: Running) -> Table:
    table = Table(title=f"at the {when}", box=None, pad_edge=False)
    for name in ("process", "number", "MiB", "open files"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for kind, (number, memory, files) in usage(running).items():
        table.add_row(kind, str(number), f"{memory:.0f}", str(files))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=8.0, help="mean seconds from one recovery to the next kill")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=PROCESS_FAULTS, metavar="FAULT")
    parser.add_argument("--folder", type=Path, help="for the run; by default a temporary one")
    options = parser.parse_args()
    console = Console(width=150)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="gato-chaos-"))
    if options.faults == ["node"]:
        (folder / "nodes").mkdir(parents=True)
        with three_nodes(folder / "nodes") as nodes:
            seconds = chaos(
                folder / "nodes",
                options.minutes,
                options.seed,
                kinds=["node"],
                console=console,
                pause=options.pause,
                nodes=nodes,
            )
    elif "node" in options.faults:
        parser.error("--faults node: use it alone; Ray reads a cluster's token only before its first use in a process")
    else:
        seconds = chaos(
            folder / "alone",
            options.minutes,
            options.seed,
            kinds=options.faults,
            console=console,
            pause=options.pause,
        )
    console.print(result_table(seconds, FAULTS))


if __name__ == "__main__":
    main()
