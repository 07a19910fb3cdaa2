"""What doctor says: of made-up findings, of files as Linux writes them, and once of the machine that tests run on."""

import json
import subprocess
import sys

import pytest

from gato_dist.doctor import examine, machine, self_tests
from gato_dist.doctor.examine import exit_code, lines_of
from gato_dist.doctor.finding import Finding
from gato_dist.doctor.machine import memory_limit, shared_memory
from gato_dist.doctor.network import closed_ports, parse_listening, ray_token

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1
   2: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 103 1
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 104 1
   1: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 105 1
"""


def test_lines_are_aligned_and_advice_stands_below():
    short, long = Finding("GPU", "ok", "none"), Finding("shared memory", "problem", "0.1 GiB", "more of it")
    (first,), (second, advice) = lines_of(short), lines_of(long)
    assert first.index("none") == second.index("0.1 GiB")
    assert advice.strip() == "→ more of it"


def test_what_other_programs_are_called_cannot_command_the_terminal():
    (line,) = lines_of(Finding("open ports", "ok", "8080 (\x1b[2Jx[red]\n)"))
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\\[red]" in line


def test_only_a_problem_makes_it_fail():
    ok, warning, problem = (Finding("x", state, "") for state in ("ok", "warning", "problem"))
    assert exit_code([ok, warning]) == 0
    assert exit_code([ok, problem, warning]) == 1


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(monkeypatch):
    def broken() -> Finding:
        raise ZeroDivisionError("no cores")

    monkeypatch.setattr(examine, "LIBRARY_CHECKS", (broken, lambda: Finding("b", "ok", "")))
    for name in ("MACHINE_CHECKS", "NETWORK_CHECKS", "SELF_TESTS"):
        monkeypatch.setattr(examine, name, ())
    first, second = examine.findings()
    assert (first.state, "no cores" in first.found, second.name) == ("warning", True, "b")


def test_listening_sockets_are_read_as_linux_writes_them():
    assert list(parse_listening(TCP)) == [("127.0.0.1", 8080, "101"), ("0.0.0.0", 22, "102")]
    assert list(parse_listening(TCP6)) == [("::", 8081, "104"), ("127.0.0.1", 8082, "105")]


@pytest.mark.parametrize(("text", "limit"), [("max\n", None), ("4096\n", 4096), ("9223372036854771712\n", None)])
def test_a_control_groups_memory_is_told_where_it_limits(tmp_path, text, limit):
    (tmp_path / "memory.max").write_text(text)
    assert memory_limit((str(tmp_path / "none"), str(tmp_path / "memory.max")), 2**40) == limit


def test_too_little_shared_memory_is_a_problem(monkeypatch):
    monkeypatch.setattr(machine, "LEAST_SHARED", 2**60)
    monkeypatch.setattr(machine, "GOOD_SHARED", 2**60)
    found = shared_memory()
    assert (found.state, "shm-size" in found.advice) == ("problem", True)


def test_a_token_that_others_may_read_and_a_mode_without_one_are_told(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "auth_token"
    assert [each.state for each in ray_token(token)] == ["ok"]
    token.write_text("x")
    token.chmod(0o644)
    assert [each.advice for each in ray_token(token)] == [f"chmod 600 {token}"]
    token.chmod(0o600)
    assert [each.state for each in ray_token(token)] == ["ok"]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert [each.state for each in ray_token(token)] == ["warning"]


def test_a_self_test_that_crashes_or_hangs_is_a_line():
    assert self_tests.run_apart(["metaworld/none"], 60)[0] is False
    assert self_tests.run_apart(["metaworld/reach-v3"], 0.01) == (False, "gave no answer within 0 s")


def test_the_machine_that_tests_run_on_can_close_ports_and_step_suites():
    assert [each.state for each in closed_ports()] == ["ok", "ok"]
    code = "import sys; from functools import partial; from gato_dist.doctor import examine, self_tests as t; "
    code += "examine.SELF_TESTS = (t.reverb_test, partial(t.suite_test, 'metaworld', 'metaworld/reach-v3')); "
    code += "sys.exit(examine.examine_json())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert found["Reverb"]["state"] == found["metaworld"]["state"] == "ok", found
    assert done.returncode == int(any(each["state"] == "problem" for each in found.values()))
