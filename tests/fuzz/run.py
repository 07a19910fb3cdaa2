"""Draws inputs of every kind with hypothesis and runs them. Failures are collected, not raised."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.harness import Tally, try_input
from tests.fuzz.kinds import Makings, kinds
from tests.fuzz.kinds_types import Kind


def fuzz(count: int, chosen: Iterable[str] = (), first_seed: int = 0) -> Tally:
    """Runs `count` inputs, divided evenly among all kinds or the chosen ones."""
    tally = Tally()
    # In memory where that can be: datasets are brought to the disk as they are written, which takes its time.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as place:
        makings = Path(place) / "good"
        makings.mkdir()
        every = kinds(Makings(makings))
        names = list(chosen) or list(every)
        for number, name in enumerate(names):
            began = time.monotonic()
            goal = count * (number + 1) // len(names) - count * number // len(names)
            _try_kind(name, every[name], goal, Path(place) / "try", first_seed, tally)
            tally.seconds[name] = time.monotonic() - began
            print(tally.line(name), flush=True)
    return tally


def _try_kind(name: str, kind: Kind, goal: int, root: Path, first_seed: int, tally: Tally) -> None:
    def done() -> int:
        return sum(tally.outcomes.get(name, {}).values())

    folder = root / "work"

    def one(data: st.DataObject) -> None:
        if done() >= goal:
            return
        shutil.rmtree(root, ignore_errors=True)
        folder.mkdir(parents=True)
        try_input(name, kind(data.draw, folder), folder, tally)

    while done() < goal:
        first_seed += 1
        rules = settings(
            max_examples=min(1000, goal - done()),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        with contextlib.suppress(AssertionError):
            seed(first_seed)(rules(given(st.data())(one)))()
