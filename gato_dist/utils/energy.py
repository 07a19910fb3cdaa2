"""What this machine's processors drew, where it tells: the counters of Linux's powercap (Intel's and AMD's RAPL)."""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
MICROJOULES = 3.6e12  # of a kWh


class EnergyMeter:
    """Adds up the packages' counters, which begin anew every few minutes to hours: `kwh` wants to be asked often.

    Graphics cards, memory and the rest of the machine are not in it, nor are other machines.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._before: dict[Path, int] = {}
        self._total = 0.0
        for zone in sorted(root.glob("intel-rapl:*")):
            if (zone / "name").is_file() and (zone / "name").read_text("utf-8").startswith("package"):
                counter = zone / "energy_uj"
                if (value := _read(counter)) is not None:
                    self._before[counter] = value

    def kwh(self) -> float | None:
        """Since the meter was made; None where the machine does not tell, or not this user."""
        for counter, before in self._before.items():
            now = _read(counter)
            if now is None:
                continue
            whole = _read(counter.with_name("max_energy_range_uj")) or 0
            self._total += now - before if now >= before else now + whole - before
            self._before[counter] = now
        return self._total / MICROJOULES if self._before else None


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
