"""`gato-dist doctor`: runs all checks of this machine and prints what they find."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape

from gato_dist.doctor.finding import Check, Finding, State
from gato_dist.doctor.libraries import LIBRARY_CHECKS
from gato_dist.doctor.machine import MACHINE_CHECKS
from gato_dist.doctor.network import NETWORK_CHECKS
from gato_dist.doctor.self_tests import make_self_tests
from gato_dist.utils.typed_json import to_json

NAME_WIDTH, STATE_WIDTH = 18, 8
COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "red"}


def all_checks() -> list[Check]:
    """Returns every check, the quick ones first."""
    return [*LIBRARY_CHECKS, *MACHINE_CHECKS, *NETWORK_CHECKS, *make_self_tests()]


def examine(checks: Iterable[Check]) -> int:
    """Prints each finding as soon as it is known, with its advice below, and then the number of each state.

    Returns:
        The exit code: 1 if there is a problem, else 0.
    """
    console, findings = Console(soft_wrap=True, highlight=False), list[Finding]()
    for finding in run_checks(checks):
        findings.append(finding)
        for line in finding_lines(finding, console.is_terminal):
            console.print(line)
    counts = {state: sum(finding.state == state for finding in findings) for state in COLOURS}
    console.print(f"\n{', '.join(f'{count} {state}' for state, count in counts.items())}")
    return exit_code(findings)


def examine_json(checks: Iterable[Check]) -> int:
    """Prints all findings as one JSON list of objects. Returns the same exit code as `examine`."""
    findings = list(run_checks(checks))
    print(to_json([asdict(finding) for finding in findings], indent=1))
    return exit_code(findings)


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Yields the findings of all checks. A check that raises an error yields a warning."""
    for check in checks:
        yield from _run_check(check)


def _run_check(check: Check) -> list[Finding]:
    try:
        result = check.run()
    except Exception as error:  # on an unusual machine anything may fail; the other checks still run
        return [Finding(check.name, "warning", f"could not be checked: {type(error).__name__}: {error}")]
    return result if isinstance(result, list) else [result]


def exit_code(findings: Iterable[Finding]) -> int:
    """Returns 1 if one of the findings is a problem, else 0."""
    return int(any(finding.state == "problem" for finding in findings))


def finding_lines(finding: Finding, colours: bool = False) -> list[str]:
    """Formats a finding as one line, with its advice on a second line. The columns of all findings align.

    Args:
        finding: the finding.
        colours: whether to colour the state with rich's markup.
    """
    state = finding.state.ljust(STATE_WIDTH)
    name = finding.name.ljust(NAME_WIDTH)
    shown = f"[{COLOURS[finding.state]}]{state}[/]" if colours else state
    lines = [f"{shown} {escape(name)} {escape(_printable(finding.found))}"]
    if finding.advice:
        lines.append(f"{' ' * (STATE_WIDTH + NAME_WIDTH + 2)}→ {escape(_printable(finding.advice))}")
    return lines


def _printable(text: str) -> str:
    """Replaces line breaks and control characters: part of the text comes from other programs."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
