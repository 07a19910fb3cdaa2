"""cost.json of a run folder: time, energy and data that a run took, over all of its starts."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.telemetry import LearnerReport
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.typed_json import read_as, to_json

PACKAGES = ("gato-dist", "torch", "numpy", "ray", "dm-reverb", "envpool")


@dataclass(kw_only=True)
class Cost:
    """What a run took so far. A start that was killed adds only what the learner's checkpoint carries.

    Attributes:
        starts: how often the run was started.
        env_steps: environment steps of experts and Gato actors.
        tokens: that the learner was trained on.
        training_seconds: of the learner.
        seconds: wall time of all starts.
        kwh: energy of the processors of the machine that started the run (`energy.py`); None if any start could not
            measure it.
        hardware: of the newest start.
        versions: of Python and of packages, by name.
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
        """Reads the file; returns None if there is none. Raises InputError if it is damaged."""
        if not path.is_file():
            return None
        try:
            return read_as(cls, json.loads(path.read_text("utf-8")))
        except READ_ERRORS as error:
            raise InputError(f"{path}: damaged ({brief(error)}); remove it") from error

    def save(self, path: Path) -> None:
        """Writes the file, under a temporary name first."""
        write_text_atomically(path, to_json(asdict(self), indent=1) + "\n")


class CostMeter:
    """Adds the cost of one start to that of the starts before."""

    def __init__(self, path: Path) -> None:
        self._path, self._before = path, Cost.load(path) or Cost()

    def write(self, seconds: float, env_steps: float, learner: LearnerReport | None, kwh: float | None) -> None:
        """Writes the cost of all starts.

        Args:
            seconds: wall time of this start.
            env_steps: environment steps of this start.
            learner: the learner's newest metrics, which count from the run's beginning.
            kwh: energy of this start; None if it could not be measured.
        """
        before = self._before
        known = 0.0 if not before.starts else before.kwh
        Cost(
            starts=before.starts + 1,
            env_steps=before.env_steps + int(env_steps),
            tokens=learner.tokens if learner else before.tokens,
            training_seconds=learner.seconds if learner else before.training_seconds,
            seconds=before.seconds + seconds,
            kwh=None if kwh is None or known is None else known + kwh,
            hardware=hardware(),
            versions=installed_versions(),
        ).save(self._path)


def hardware() -> str:
    """Returns a short description of this machine."""
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"


def installed_versions() -> dict[str, str]:
    """Returns the versions of Python and of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
