"""What a run took, over all of its starts: cost.json in its folder."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.telemetry import LearnerReport
from gato_dist.utils.files import replace_text
from gato_dist.utils.typed_json import read_as, to_json

PACKAGES = ("gato-dist", "torch", "numpy", "ray", "dm-reverb", "envpool")


@dataclass
class Cost:
    """env_steps: of experts and Gato actors; tokens, training_seconds: of the learner; seconds: wall time in all.

    kwh: of the driver's processors (`energy.py`); None where any start did not tell.

    A start that was killed, and not interrupted, leaves only the learner's figures, which its checkpoint carries.
    """

    starts: int = 0
    env_steps: int = 0
    tokens: int = 0
    training_seconds: float = 0.0
    seconds: float = 0.0
    kwh: float | None = None
    hardware: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Cost | None":
        """None where the run has none. Raises InputError where the file is damaged."""
        if not path.is_file():
            return None
        try:
            return read_as(cls, json.loads(path.read_text("utf-8")))
        except DAMAGED as error:
            raise InputError(f"{path}: damaged ({brief(error)}); remove it") from error

    def save(self, path: Path) -> None:
        """Under a temporary name first."""
        replace_text(path, to_json(asdict(self), indent=1) + "\n")


class CostMeter:
    """Adds a start to the cost of those before it."""

    def __init__(self, path: Path) -> None:
        self._path, self._before = path, Cost.load(path) or Cost()

    def write(self, seconds: float, env_steps: float, learner: LearnerReport | None, kwh: float | None) -> None:
        """seconds, env_steps, kwh: of this start; learner: its newest report, which counts from the run's beginning."""
        before = self._before
        known = 0.0 if not before.starts else before.kwh
        Cost(
            before.starts + 1,
            before.env_steps + int(env_steps),
            learner.tokens if learner else before.tokens,
            learner.seconds if learner else before.training_seconds,
            before.seconds + seconds,
            None if kwh is None or known is None else known + kwh,
            hardware(),
            installed_versions(),
        ).save(self._path)


def hardware() -> str:
    """This machine in a few words."""
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"


def installed_versions() -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
