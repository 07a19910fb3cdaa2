"""`gato-dist doctor`: whether this machine can do what is asked of it, and what to do where it cannot."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape

from gato_dist.doctor.finding import Finding, State
from gato_dist.doctor.machine import LIBRARY_CHECKS, MACHINE_CHECKS
from gato_dist.doctor.network import NETWORK_CHECKS
from gato_dist.doctor.self_tests import SELF_TESTS
from gato_dist.utils.typed_json import to_json

NAME_WIDTH, STATE_WIDTH = 18, 8
COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "red"}
Check = Callable[[], Finding | list[Finding]]


def examine() -> int:
    """Prints a line for each finding as it comes, with what to do below; 1 where one is a problem, else 0."""
    console, found = Console(soft_wrap=True, highlight=False), list[Finding]()
    for finding in findings():
        found.append(finding)
        for line in lines_of(finding, console.is_terminal):
            console.print(line)
    counts = {state: sum(each.state == state for each in found) for state in COLOURS}
    console.print(f"\n{', '.join(f'{count} {state}' for state, count in counts.items())}")
    return exit_code(found)


def examine_json() -> int:
    """Prints all findings at once as a JSON list of objects; returns as `examine`."""
    found = list(findings())
    print(to_json([asdict(each) for each in found], indent=1))
    return exit_code(found)


def findings() -> Iterator[Finding]:
    """All of them, the quick ones first. A check that itself fails is a finding too."""
    checks: tuple[Check, ...] = (*LIBRARY_CHECKS, *MACHINE_CHECKS, *NETWORK_CHECKS, *SELF_TESTS)
    for check in checks:
        yield from _found(check)


def _found(check: Check) -> list[Finding]:
    try:
        found = check()
    except Exception as error:  # of a machine that is unlike any other; the remaining checks go on
        name = getattr(check, "__name__", "check").replace("_", " ").strip()
        return [Finding(name, "warning", f"could not be looked at: {type(error).__name__}: {error}")]
    return found if isinstance(found, list) else [found]


def exit_code(found: list[Finding]) -> int:
    return int(any(each.state == "problem" for each in found))


def lines_of(finding: Finding, colours: bool = False) -> list[str]:
    """A finding as one line, and a second one of advice where there is some, their columns aligned.

    colours: with rich's markup around the state.
    """
    state = finding.state.ljust(STATE_WIDTH)
    name = finding.name.ljust(NAME_WIDTH)
    shown = f"[{COLOURS[finding.state]}]{state}[/]" if colours else state
    lines = [f"{shown} {escape(name)} {escape(_plain(finding.found))}"]
    if finding.advice:
        lines.append(f"{' ' * (STATE_WIDTH + NAME_WIDTH + 2)}→ {escape(_plain(finding.advice))}")
    return lines


def _plain(text: str) -> str:
    """On one line, and without what a terminal would obey: some of it comes from other programs."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
