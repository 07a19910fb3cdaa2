"""Doctor's checks of the hardware and its limits: GPU, CPUs, memory, disk, open files."""

import os
import resource
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gato_dist.doctor.finding import Check, Finding, rate_amount

GIB = 2**30
# On one machine, Ray's object store takes half a GiB of shared memory.
MIN_SHARED, RECOMMENDED_SHARED = 0.6 * GIB, 2 * GIB
MIN_DISK, RECOMMENDED_DISK = 1 * GIB, 10 * GIB
MIN_MEMORY, RECOMMENDED_MEMORY = 2 * GIB, 8 * GIB
MIN_FILES, RECOMMENDED_FILES = 1024, 4096
ADVISED_FILES = 65536
# Version 2, then version 1. Without a limit, version 1 states a number above any machine's memory.
CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_gpu() -> Finding:
    """Checks whether torch can use a GPU. A machine without one is ok."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        devices = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
        return Finding("GPU", "ok", f"{devices}, CUDA {torch.version.cuda}; use it with learner.gpu=true")
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        return Finding(
            "GPU",
            "problem",
            f"present, but torch {torch.__version__} cannot use it",
            "install an NVIDIA driver for the CUDA version of this torch, or leave learner.gpu=false",
        )
    return Finding("GPU", "ok", "none: the learner trains on the CPU (learner.gpu=false)")


def check_cpus() -> Finding:
    """Checks the number of CPUs that this process may use."""
    usable = len(os.sched_getaffinity(0))
    found = f"{usable} of {os.cpu_count()} may be used"
    if usable < 2:
        return Finding("CPU", "warning", found, "experts and learner will share one core: expect half the speed")
    return Finding("CPU", "ok", found)


def check_memory() -> Finding:
    """Checks the free memory, within the limit of this control group."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text("utf-8").splitlines())
    total, free = (int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    limit = memory_limit(CGROUP_FILES, total)
    found = f"{_gib(free)} free of {_gib(total)}"
    if limit is not None:
        found += f"; this control group may use {_gib(limit)}"
    return rate_amount(
        "memory",
        min(free, limit or free),
        minimum=MIN_MEMORY,
        recommended=RECOMMENDED_MEMORY,
        found=found,
        advice="run fewer tasks or actors at once, or add memory",
    )


def memory_limit(files: Sequence[str], total: int) -> int | None:
    """Reads how much memory this control group may use.

    Args:
        files: where control groups state their limit. The first one that exists counts.
        total: memory of the machine in bytes.

    Returns:
        The limit in bytes. None: the whole machine's memory.
    """
    for path in files:
        try:
            text = Path(path).read_text("utf-8").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < total else None
    return None


def check_shared_memory(path: str = "/dev/shm") -> Finding:
    """Checks the free shared memory, where Ray's object store lies."""
    free = shutil.disk_usage(path).free
    return rate_amount(
        "shared memory",
        free,
        minimum=MIN_SHARED,
        recommended=RECOMMENDED_SHARED,
        found=f"{_gib(free)} free in {path}",
        advice="in Docker: docker run --shm-size=4g",
    )


def check_disks() -> list[Finding]:
    """Checks the disk of the working directory, and Ray's temporary directory if it is on another disk."""
    paths = {os.stat(path).st_dev: path for path in (tempfile.gettempdir(), os.getcwd())}
    return [_check_disk(path) for path in paths.values()]


def _check_disk(path: str) -> Finding:
    usage = shutil.disk_usage(path)
    return rate_amount(
        "disk",
        usage.free,
        minimum=MIN_DISK,
        recommended=RECOMMENDED_DISK,
        found=f"{_gib(usage.free)} free of {_gib(usage.total)} in {path}",
        advice="free some space, or work in another folder: checkpoints and datasets need it",
    )


def check_file_limit() -> Finding:
    """Checks how many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return rate_amount(
        "open files",
        soft,
        minimum=MIN_FILES,
        recommended=RECOMMENDED_FILES,
        found=f"{soft:,} at once, {hard:,} at most",
        advice=f"run `ulimit -n {min(ADVISED_FILES, hard)}` in the shell that starts a run",
    )


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


MACHINE_CHECKS = (
    Check("GPU", check_gpu),
    Check("CPU", check_cpus),
    Check("memory", check_memory),
    Check("shared memory", check_shared_memory),
    Check("disk", check_disks),
    Check("open files", check_file_limit),
)
