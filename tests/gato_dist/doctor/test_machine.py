"""Doctor's checks of memory, and how amounts are rated."""

import pytest

from gato_dist.doctor import machine
from gato_dist.doctor.finding import rate_amount
from gato_dist.doctor.machine import check_shared_memory, memory_limit


@pytest.mark.parametrize(("text", "limit"), [("max\n", None), ("4096\n", 4096), ("9223372036854771712\n", None)])
def test_the_memory_limit_of_a_control_group_is_read(tmp_path, text, limit):
    (tmp_path / "memory.max").write_text(text)
    assert memory_limit((str(tmp_path / "none"), str(tmp_path / "memory.max")), 2**40) == limit


@pytest.mark.parametrize(("amount", "state"), [(1, "problem"), (2, "warning"), (4, "ok")])
def test_an_amount_is_rated_by_its_minimum_and_recommendation(amount, state):
    finding = rate_amount("x", amount, minimum=2, recommended=4, found="some", advice="get more")
    assert (finding.state, finding.advice) == (state, "" if state == "ok" else "get more")


def test_too_little_shared_memory_is_a_problem(monkeypatch):
    monkeypatch.setattr(machine, "MIN_SHARED", 2**60)
    monkeypatch.setattr(machine, "RECOMMENDED_SHARED", 2**60)
    finding = check_shared_memory()
    assert finding.state == "problem"
    assert "shm-size" in finding.advice
