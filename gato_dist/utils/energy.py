"""Energy use of this machine's processors, from Linux's powercap counters (RAPL of Intel and AMD)."""

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
MICROJOULES_PER_KWH = 3.6e12


class EnergyMeter:
    """Adds up the energy counters of all processor packages of this machine.

    Only processors are measured: neither graphics cards, nor memory, nor other machines. The counters wrap around every
    few minutes to hours, so `kwh` must be called more often than that.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        """Starts the measurement. root: folder of the counters."""
        self._last: dict[Path, int] = {}
        self._total = 0.0
        for zone in sorted(root.glob("intel-rapl:*")):
            if (zone / "name").is_file() and (zone / "name").read_text("utf-8").startswith("package"):
                counter = zone / "energy_uj"
                if (value := _read(counter)) is not None:
                    self._last[counter] = value

    def kwh(self) -> float | None:
        """Returns the energy since the meter was made, in kWh; None if this user cannot read any counter."""
        for counter, last in self._last.items():
            now = _read(counter)
            if now is None:
                continue
            counter_range = _read(counter.with_name("max_energy_range_uj")) or 0
            self._total += now - last if now >= last else now + counter_range - last
            self._last[counter] = now
        return self._total / MICROJOULES_PER_KWH if self._last else None


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
