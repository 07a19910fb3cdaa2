"""Doctor's checks of Python, packages and system libraries."""

import ctypes
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING

from gato_dist.doctor.finding import Check, Finding, State
from gato_dist.utils.missing_packages import INSTALL_CLONES, reverb_advice

if TYPE_CHECKING:
    from packaging.requirements import Requirement


@dataclass(frozen=True)
class PackageGroup:
    """An extra of pyproject.toml.

    Attributes:
        extra: its name; empty for the packages that are always installed.
        used_for: what needs it.
        state_if_missing: how a missing package is rated.
    """

    extra: str
    used_for: str
    state_if_missing: State = "warning"

    @property
    def command(self) -> str:
        """The command that installs the group."""
        if self.extra == "procgen":
            return INSTALL_CLONES
        return f"pip install 'gato-dist[{self.extra}]'" if self.extra else "pip install 'gato-dist'"


PACKAGE_GROUPS = (
    PackageGroup("", "everything", "problem"),
    PackageGroup("live", "gato-dist train with live experts", "problem"),
    PackageGroup("suites", "environments", "problem"),
    PackageGroup("video", "gato-dist play"),
    PackageGroup("images", "corpora with images"),
    PackageGroup("minari", "import from Minari and export to it"),
    PackageGroup("experts", "training experts"),
    PackageGroup("procgen", "Procgen's experts"),
)


def check_python() -> Finding:
    """Checks the version of Python."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Finding("Python", "ok", found)
    return Finding("Python", "warning", found, reverb_advice())


def check_packages() -> list[Finding]:
    """Returns one finding per group of packages: their versions, or those that are missing or do not fit."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in requires("gato-dist") or []]
    except PackageNotFoundError:
        advice = "make install, or pip install -e ."
        return [Finding("packages", "warning", "gato-dist itself is not installed", advice)]
    findings = [_check_group(group, requirements) for group in PACKAGE_GROUPS]
    return [finding for finding in findings if finding]


def _check_group(group: PackageGroup, requirements: "list[Requirement]") -> Finding | None:
    """Returns None if the group needs no package on this version of Python."""
    wanted = [requirement for requirement in requirements if _belongs_to(requirement, group.extra)]
    installed, wrong = [], []
    for requirement in {requirement.name: requirement for requirement in wanted}.values():
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        installed.append(f"{requirement.name} {found}")
        specifiers = [other.specifier for other in wanted if other.name == requirement.name]
        if not all(specifier.contains(found, prereleases=True) for specifier in specifiers):
            wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    name = f"packages [{group.extra}]" if group.extra else "packages"
    if wrong:
        return Finding(name, group.state_if_missing, "; ".join(wrong), f"{group.command} (for {group.used_for})")
    return Finding(name, "ok", ", ".join(installed)) if installed else None


def _belongs_to(requirement: "Requirement", extra: str) -> bool:
    """Returns whether the extra needs the requirement on this machine. The empty extra: whether it is always needed."""
    marker = requirement.marker
    if marker is None:
        return not extra
    always = marker.evaluate({"extra": ""})
    return marker.evaluate({"extra": extra}) and not always if extra else always


def check_qt() -> Finding:
    """Checks that Procgen can load Qt 5."""
    from gato_dist.envs.qt import load_qt5

    try:
        load_qt5()
    except (ImportError, OSError) as error:
        return Finding("Qt 5", "warning", f"missing, Procgen cannot draw ({error})", "apt-get install libqt5gui5")
    return Finding("Qt 5", "ok", "Procgen can draw")


def check_egl() -> Finding:
    """Checks that MuJoCo can load EGL."""
    try:
        for library in ("libOpenGL.so.0", "libEGL.so.1"):
            ctypes.CDLL(library)
    except OSError as error:
        found = f"missing: no pixels from DM Control, no videos from MuJoCo ({error})"
        return Finding("EGL", "warning", found, "apt-get install libegl1 libopengl0")
    return Finding("EGL", "ok", "MuJoCo can draw")


LIBRARY_CHECKS = (
    Check("Python", check_python),
    Check("packages", check_packages),
    Check("Qt 5", check_qt),
    Check("EGL", check_egl),
)
