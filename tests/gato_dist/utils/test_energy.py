"""The energy meter: counters of several packages, and counters that wrap around."""

from pathlib import Path

import pytest

from gato_dist.utils.energy import EnergyMeter


def zone(root: Path, number: str, name: str, value: int) -> Path:
    folder = root / f"intel-rapl:{number}"
    folder.mkdir()
    for file, text in (("name", name), ("energy_uj", str(value)), ("max_energy_range_uj", str(10 * 10**12))):
        (folder / file).write_text(text + "\n")
    return folder / "energy_uj"


def test_energy_is_summed_over_packages_and_counter_wraparounds(tmp_path):
    first, second = (zone(tmp_path, str(n), f"package-{n}", 9 * 10**12) for n in range(2))
    core = zone(tmp_path, "0:0", "core", 0)
    meter = EnergyMeter(tmp_path)
    for values in ((9_600_000_000_000, 9_000_000_000_000), (600_000_000_000, 10_000_000_000_000)):
        for counter, value in zip((first, second), values, strict=True):
            counter.write_text(str(value))
        core.write_text(str(10**12))
        told = meter.kwh()
    assert told == pytest.approx((0.6 + 1.0 + 1.0) / 3.6)
    assert meter.kwh() == told


def test_without_readable_counters_the_energy_is_unknown(tmp_path):
    assert EnergyMeter(tmp_path).kwh() is None
