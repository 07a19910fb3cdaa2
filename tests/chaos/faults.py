"""Kills parts of a run, and waits until the run has recovered."""

import random
import time
from collections import Counter
from dataclasses import dataclass

import psutil

from tests.chaos.checks import Items
from tests.chaos.running import Running, family, still_alive


@dataclass(frozen=True)
class Fault:
    """A kind of process or machine to kill.

    Attributes:
        kind: its name.
        recovers: how the log line that reports the recovery names it (`recovered: …`).
        kept: what the run keeps, for the table of results.
    """

    kind: str
    recovers: str
    kept: str


FAULTS = {
    fault.kind: fault
    for fault in (
        Fault("expert", "expert of", "sequences that replay confirmed; continues with new seeds"),
        Fault("Gato actor", "Gato actor of", "sequences that replay confirmed; continues with new seeds"),
        Fault("evaluator", "evaluator", "all scores; its job is repeated"),
        Fault("replay server", "replay server", "all sequences: its checkpoint's, and others from their writers"),
        Fault("learner worker", "learner", "the newest checkpoint; versions continue"),
        Fault("learner's driver", "learner", "the newest checkpoint; versions continue"),
        Fault("driver", "", "the newest checkpoint of learner and replay, with --resume"),
        Fault("node", "", "its processes are started on other nodes, each as above"),
    )
}


def inject(fault: Fault, running: Running, draw: random.Random, items: Items) -> float:
    """Kills one process or node, and waits for the recovery.

    Returns:
        Seconds until the run recovered.

    Raises:
        AssertionError: data were lost.
        Stuck: the run did not recover.
    """
    if fault.kind == "driver":
        return kill_driver(running, items)
    if fault.kind == "node":
        return kill_node(running, draw, items)
    before, stored = len(running.log()), items.inserted()
    began = time.monotonic()
    running.kill(fault.kind, draw)
    running.wait_for(f"recovered: {fault.recovers}", 1, before, f"{fault.kind} killed")
    took = time.monotonic() - began
    if fault.kind == "replay server":
        lines = running.log()[before:]
        assert any("from the checkpoint of" in line for line in lines), lines
    else:
        now = items.inserted()
        assert all(now[table] >= count for table, count in stored.items()), f"sequences were lost: {stored}, now {now}"
    items.check()
    return took


def kill_driver(running: Running, items: Items) -> float:
    """Kills the command itself, checks that no process is left, and resumes. Returns seconds until it trains again."""
    assert running.process is not None
    # Ray's own agents notice later that their node is gone.
    processes = [each for each in family(psutil.Process(running.process.pid)) if not each.name().endswith("Agent")]
    before, began = len(running.log()), time.monotonic()
    running.process.kill()
    running.process.wait()
    orphans = still_alive(processes, 60)
    assert not orphans, f"left behind: {orphans}"
    running.start(resume=True)
    running.wait_for_training(before)
    took = time.monotonic() - began
    lines = running.log()[before:]
    assert any("from the checkpoint of" in line for line in lines), lines
    items.check()
    return took


def kill_node(running: Running, draw: random.Random, items: Items) -> float:
    """Kills a node without coordinator and driver. Returns seconds until everything that ran there works again."""
    assert running.nodes is not None
    before, began = len(running.log()), time.monotonic()
    for kind, number in Counter(running.nodes.kill(draw)).items():
        line = f"recovered: {FAULTS[kind].recovers}"
        running.wait_for(line, number, before, f"node killed with {number} {kind}")
    took = time.monotonic() - began
    items.check()
    return took
