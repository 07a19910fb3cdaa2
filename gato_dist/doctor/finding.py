"""What `gato-dist doctor` checks, and what a check finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked, such as `GPU`.
        state: `problem` if something important does not work, `warning` if something else does not.
        found: what the check found.
        advice: what to do; empty if nothing.
    """

    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what is checked, in case that the check itself fails.
        run: performs the check.
    """

    name: str
    run: Callable[[], Finding | list[Finding]]


def rate_amount(name: str, amount: float, *, minimum: float, recommended: float, found: str, advice: str) -> Finding:
    """Rates an amount, such as free memory: a problem below the minimum, a warning below the recommendation.

    Args:
        name: what was measured.
        amount: the measured amount.
        minimum: least amount that works, in the same unit.
        recommended: least amount that is comfortable, in the same unit.
        found: the amount as text.
        advice: how to get more; left out if the amount is ok.
    """
    if amount >= recommended:
        return Finding(name, "ok", found)
    return Finding(name, "problem" if amount < minimum else "warning", found, advice)
