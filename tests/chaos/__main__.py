"""Kills parts of a real run at random moments and prints what came of it: `python -m tests.chaos --minutes M --seed S`.

On one machine, or, with `--faults node`, whole nodes, three on this machine. For an hour it is the soak: memory and
open files of every kind of process, at the start, in the middle and at the end.
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

ALONE = [kind for kind in FAULTS if kind != "node"]


def chaos(
    folder: Path,
    minutes: float,
    seed: int,
    kinds: list[str],
    console: Console,
    pause: float,
    nodes: Nodes | None = None,
) -> dict[str, list[float]]:
    """Seconds of recovery by fault. Raises AssertionError where something that must hold does not.

    pause: mean seconds from one recovery to the next kill.
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
        # Every kind once before any of them again, in an order that is drawn.
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
    console.print(f"{rows} lines of scores.csv whole; {items.known} items seen, none there twice, none lost")
    return seconds


def result_table(seconds: dict[str, list[float]], faults: dict[str, Fault]) -> Table:
    table = Table(title="from SIGKILL until it works again", box=None, pad_edge=False)
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
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=ALONE, metavar="FAULT")
    parser.add_argument("--folder", type=Path, help="for the run; a temporary one where not given")
    words = parser.parse_args()
    console = Console(width=150)
    folder = words.folder or Path(tempfile.mkdtemp(prefix="gato-chaos-"))
    if words.faults == ["node"]:
        (folder / "nodes").mkdir(parents=True)
        with three_nodes(folder / "nodes") as nodes:
            seconds = chaos(folder / "nodes", words.minutes, words.seed, ["node"], console, words.pause, nodes)
    elif "node" in words.faults:
        parser.error("--faults node: give it alone; Ray takes up a cluster's token only where it was not used before")
    else:
        seconds = chaos(folder / "alone", words.minutes, words.seed, words.faults, console, words.pause)
    console.print(result_table(seconds, FAULTS))


if __name__ == "__main__":
    main()
