"""How pictures and pages write numbers and names."""

import math


def number_text(value: float | None, form: str = "z.2f") -> str:
    """Returns a number with a true minus sign; a dash if it is None or not finite.

    Args:
        value: the number.
        form: a format specification, such as "z.2f".
    """
    return "–" if value is None or not math.isfinite(value) else format(value, form).replace("-", "−")


def score_text(value: float | None) -> str:
    """Returns a score with three significant digits; from 1,000 on, as a whole number with thousands separators."""
    return number_text(value, "z,.0f" if abs(value or 0.0) >= 1000 else "z.3g")


def interval_text(value: float | None, low: float | None, high: float | None) -> str:
    """Returns a value with its interval, such as "0.50 [0.40, 0.60]"."""
    return f"{number_text(value)} [{number_text(low)}, {number_text(high)}]"


def shorten(text: str) -> str:
    """Returns a name that fits beside a chart: printable, and at most 36 characters."""
    text = printable(text)
    return text if len(text) <= 36 else text[:35] + "…"


def printable(text: str) -> str:
    """Replaces characters that XML does not allow or that no font shows, except line breaks and tabs, by U+FFFD."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def plural(count: int, noun: str) -> str:
    """Returns, for example, "1 task" or "3 tasks"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
