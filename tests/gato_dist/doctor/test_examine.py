"""What `gato-dist doctor` prints, and its exit code, for given findings."""

import json

from gato_dist.doctor.examine import examine, examine_json, exit_code, finding_lines, run_checks
from gato_dist.doctor.finding import Check, Finding
from gato_dist.doctor.libraries import LIBRARY_CHECKS
from gato_dist.doctor.machine import MACHINE_CHECKS
from gato_dist.doctor.network import NETWORK_CHECKS

OK, WARNING, PROBLEM = (Finding("x", state, "found") for state in ("ok", "warning", "problem"))


def test_columns_are_aligned_and_advice_is_below():
    short, long = Finding("GPU", "ok", "none"), Finding("shared memory", "problem", "0.1 GiB", "add more")
    (first,), (second, advice) = finding_lines(short), finding_lines(long)
    assert first.index("none") == second.index("0.1 GiB")
    assert advice.strip() == "→ add more"


def test_control_characters_and_markup_are_not_printed():
    (line,) = finding_lines(Finding("open ports", "ok", "8080 (\x1b[2Jx[red]\n)"))
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\\[red]" in line


def test_the_exit_code_is_1_only_if_there_is_a_problem():
    assert exit_code([OK, WARNING]) == 0
    assert exit_code([OK, PROBLEM, WARNING]) == 1


def test_a_check_that_raises_an_error_is_a_warning_and_the_next_check_runs():
    def raise_error() -> Finding:
        raise ZeroDivisionError("no cores")

    first, second = run_checks([Check("CPU", raise_error), Check("x", lambda: OK)])
    assert first == Finding("CPU", "warning", "could not be checked: ZeroDivisionError: no cores")
    assert second == OK


def test_findings_are_printed_with_the_number_of_each_state(capsys):
    assert examine([Check("x", lambda: [OK, PROBLEM]), Check("x", lambda: OK)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 ok, 0 warning, 1 problem"


def test_findings_are_printed_as_json(capsys):
    assert examine_json([Check("x", lambda: WARNING)]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "x", "state": "warning", "found": "found", "advice": ""}]


def test_the_quick_checks_run_on_this_machine():
    findings = list(run_checks([*LIBRARY_CHECKS, *MACHINE_CHECKS, *NETWORK_CHECKS]))
    assert {"Python", "packages", "GPU", "memory", "disk", "open ports", "Ray token"} <= {
        each.name for each in findings
    }
    assert not [finding for finding in findings if "could not be checked" in finding.found]
