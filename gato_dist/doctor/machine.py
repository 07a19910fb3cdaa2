"""What doctor says of libraries and of the machine itself: nothing here takes longer than an import."""

import ctypes
import os
import platform
import resource
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from gato_dist.doctor.finding import Finding
from gato_dist.utils.missing_packages import INSTALL_CLONES, reverb_advice

GIB = 2**30
# What the parts need: Ray's object store on one machine takes half a GiB of shared memory.
LEAST_SHARED, GOOD_SHARED = 0.6 * GIB, 2 * GIB
LEAST_DISK, GOOD_DISK = 1 * GIB, 10 * GIB
LEAST_MEMORY, GOOD_MEMORY = 2 * GIB, 8 * GIB
LEAST_FILES, GOOD_FILES = 1024, 4096
EXTRAS = {
    "": "problem", "live": "problem", "suites": "problem", "video": "warning", "images": "warning",
    "minari": "warning", "experts": "warning", "procgen": "warning",
}  # fmt: skip
USED_FOR = {
    "": "everything", "live": "gato-dist train with live experts", "suites": "environments", "video": "gato-dist play",
    "images": "corpora with images", "minari": "datasets from and for Minari", "experts": "training experts",
    "procgen": "Procgen's experts",
}  # fmt: skip
# Of a control group that limits nothing, version 1 gives a number beyond any machine's memory.
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def python() -> Finding:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] == (3, 11):
        return Finding("Python", "ok", found)
    return Finding("Python", "warning", found, reverb_advice())


def packages() -> list[Finding]:
    """A line for each group of packages of pyproject.toml, with those missing or of another version."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires("gato-dist") or []]
    except PackageNotFoundError:
        return [
            Finding("packages", "warning", "gato-dist itself is not installed", "make install, or pip install -e .")
        ]
    found = []
    for extra, state in EXTRAS.items():
        chosen = [each for each in wanted if _asked(each, extra)]
        names, wrong = [], []
        for each in {each.name: each for each in chosen}.values():
            try:
                there = version(each.name)
            except PackageNotFoundError:
                wrong.append(f"{each.name} is missing")
                continue
            fits = all(other.specifier.contains(there, prereleases=True) for other in chosen if other.name == each.name)
            names.append(f"{each.name} {there}")
            if not fits:
                wrong.append(f"{each.name} is {there}, not {each.specifier}")
        group = f"[{extra}]" if extra else ""
        name = f"packages {group}".strip()
        if wrong:
            command = INSTALL_CLONES if extra == "procgen" else f"pip install 'gato-dist{group}'"
            advice = f"{command}: {USED_FOR[extra]} needs it"
            found.append(Finding(name, state, "; ".join(wrong), advice))  # type: ignore[arg-type]
        elif names:
            found.append(Finding(name, "ok", ", ".join(names)))
    return found


def _asked(requirement, extra: str) -> bool:  # type: ignore[no-untyped-def]
    """Whether the group `extra` asks for it on this machine; the empty one is what is always installed."""
    marker = requirement.marker
    if not extra:
        return marker is None or marker.evaluate({"extra": ""})
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def qt() -> Finding:
    from gato_dist.envs.qt import load_qt5

    try:
        load_qt5()
    except (ImportError, OSError) as error:
        return Finding("Qt 5", "warning", f"missing, Procgen cannot draw ({error})", "apt-get install libqt5gui5")
    return Finding("Qt 5", "ok", "Procgen can draw")


def egl() -> Finding:
    try:
        for library in ("libOpenGL.so.0", "libEGL.so.1"):
            ctypes.CDLL(library)
    except OSError as error:
        return Finding(
            "EGL", "warning", f"missing: no pixels of DM Control, no videos of MuJoCo ({error})",
            "apt-get install libegl1 libopengl0",
        )  # fmt: skip
    return Finding("EGL", "ok", "MuJoCo can draw")


def gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        devices = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
        return Finding("GPU", "ok", f"{devices}, CUDA {torch.version.cuda}; use it with learner.gpu=true")
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        return Finding(
            "GPU", "problem", f"there, but torch {torch.__version__} cannot use it",
            "install an NVIDIA driver for the CUDA version of that torch, or leave learner.gpu=false",
        )  # fmt: skip
    return Finding("GPU", "ok", "none: the learner trains on the CPU (learner.gpu=false)")


def cpus() -> Finding:
    mine = len(os.sched_getaffinity(0))
    found = f"{mine} of {os.cpu_count()} may be used"
    if mine < 2:
        return Finding("CPU", "warning", found, "experts and learner will share one core: expect half the speed")
    return Finding("CPU", "ok", found)


def shared_memory(path: str = "/dev/shm") -> Finding:
    usage = shutil.disk_usage(path)
    found, advice = f"{_size(usage.free)} free in {path}", "in Docker: docker run --shm-size=4g"
    return _amount("shared memory", usage.free, LEAST_SHARED, GOOD_SHARED, found, advice)


def disk() -> list[Finding]:
    """Of the folder that runs are written to, and of the one that Ray spills objects to, where it is another disk."""
    places = {os.stat(path).st_dev: path for path in (tempfile.gettempdir(), os.getcwd())}
    found = []
    for path in places.values():
        usage = shutil.disk_usage(path)
        said = f"{_size(usage.free)} free of {_size(usage.total)} in {path}"
        advice = "make room, or work in another folder: checkpoints and datasets need it"
        found.append(_amount("disk", usage.free, LEAST_DISK, GOOD_DISK, said, advice))
    return found


def memory() -> Finding:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text("utf-8").splitlines())
    total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    limit = memory_limit(CGROUPS, total)
    found = f"{_size(free)} free of {_size(total)}"
    if limit is not None:
        found += f"; this control group may use {_size(limit)}"
    return _amount(
        "memory",
        min(free, limit or free),
        LEAST_MEMORY,
        GOOD_MEMORY,
        found,
        "fewer tasks or actors at once, or more memory",
    )


def memory_limit(paths: tuple[str, ...], total: int) -> int | None:
    """Bytes that the control group allows, from the first file that says; None where that is all there is."""
    for path in paths:
        try:
            text = Path(path).read_text("utf-8").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < total else None
    return None


def file_limit() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _amount(
        "open files", soft, LEAST_FILES, GOOD_FILES, f"{soft:,} at once, {hard:,} at most",
        f"ulimit -n {min(65536, hard)} in the shell that starts a run",
    )  # fmt: skip


def _amount(name: str, there: float, least: float, good: float, found: str, advice: str) -> Finding:
    """A problem below `least`, a warning below `good`."""
    if there >= good:
        return Finding(name, "ok", found)
    return Finding(name, "problem" if there < least else "warning", found, advice)


def _size(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


LIBRARY_CHECKS = (python, packages, qt, egl, gpu)
MACHINE_CHECKS = (cpus, memory, shared_memory, disk, file_limit)
