"""What chaos does to a run, and how it sees that the run has got over it."""

import random
import time
from collections import Counter
from dataclasses import dataclass

import psutil

from tests.chaos.checks import Items
from tests.chaos.running import Running, family, still_alive


@dataclass(frozen=True)
class Fault:
    """What to kill. recovers: whom the line of the log names that tells of it; kept: what the run still has."""

    kind: str
    recovers: str
    kept: str


FAULTS = {
    fault.kind: fault
    for fault in (
        Fault("expert", "expert of", "rows that replay confirmed; new worlds"),
        Fault("Gato actor", "Gato actor of", "rows that replay confirmed; new worlds"),
        Fault("evaluator", "evaluator", "all scores; its job is done anew"),
        Fault("replay server", "replay server", "all rows: its checkpoint's, others from their writers"),
        Fault("learner worker", "learner", "the newest checkpoint; versions go on"),
        Fault("learner's driver", "learner", "the newest checkpoint; versions go on"),
        Fault("driver", "", "the newest checkpoint of learner and replay, by --resume"),
        Fault("node", "", "what ran there begins again elsewhere, each as above"),
    )
}


def inject(fault: Fault, running: Running, draw: random.Random, items: Items) -> float:
    """Kills one process; seconds until the run has got over it. Raises AssertionError where something is lost."""
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
        assert all(now[table] >= count for table, count in stored.items()), f"rows were lost: {stored}, now {now}"
    items.check()
    return took


def kill_driver(running: Running, items: Items) -> float:
    """Kills the command itself, sees that nothing is left behind, and resumes; until it trains again."""
    assert running.process is not None
    # Ray's own agents notice only later that their node is gone.
    left = [each for each in family(psutil.Process(running.process.pid)) if not each.name().endswith("Agent")]
    before, began = len(running.log()), time.monotonic()
    running.process.kill()
    running.process.wait()
    orphans = still_alive(left, 60)
    assert not orphans, f"left behind: {orphans}"
    running.start(resume=True)
    running.wait_for_training(before)
    took = time.monotonic() - began
    lines = running.log()[before:]
    assert any("from the checkpoint of" in line for line in lines), lines
    items.check()
    return took


def kill_node(running: Running, draw: random.Random, items: Items) -> float:
    """Kills one of the nodes that hold neither coordinator nor driver; until all that ran there works again."""
    assert running.nodes is not None
    before, began = len(running.log()), time.monotonic()
    for kind, number in Counter(running.nodes.kill(draw)).items():
        begins = f"recovered: {FAULTS[kind].recovers}"
        running.wait_for(begins, number, before, f"node killed with {number} {kind}")
    took = time.monotonic() - began
    items.check()
    return took
