"""An SVG in the making: scales, axes, text, and how numbers are written; from strings alone."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]
WIDTH = 860
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
# Okabe and Ito's colours, which the colour-blind can tell apart, less the two that a white or a dark page swallows.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LOOKS = [(colour, dash) for dash in ("none", "7 3", "2 3", "9 3 2 3") for colour in PALETTE]
# Every drawing carries these, so that a saved .svg stands alone; on the page, STYLE's selectors are the stronger.
SVG_STYLE = """.paper{fill:#fff} .ink,.bold,.title{fill:#1f2328;font-size:13px} .bold{font-weight:600}
.title{font-weight:600;font-size:15px} .soft{fill:#59636e;font-size:12px} polyline{fill:none;stroke-linejoin:round}
.grid{stroke:#d8dee4} .whisker{stroke:#1f2328;stroke-width:1.5}
.dotted{stroke:#59636e;stroke-width:1.3;stroke-dasharray:1.5 3.5}"""


@dataclass(frozen=True)
class Scale:
    """Maps low … high to start … end in the drawing; what lies outside lands on the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, most: int = 6) -> list[float]:
        unit = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        step = next(unit * m for m in (1, 2, 5, 10) if (self.high - self.low) / (unit * m) <= most)
        return [step * n for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


class Drawing:
    """Text, lines and axes, put together by `svg`. Places are in pixels from the upper left corner."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def text(self, x: float, y: float, text: str, look: str = "ink", anchor: str = "start") -> None:
        self.parts.append(f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def line(self, points: Points, look: str) -> None:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{places}" {look}/>')

    def axes(self, across: Scale, up: Scale, name: str, named: dict[float, str], whole: bool = True) -> None:
        """Grid and numbers of both axes. named: words before numbers of the upright one. whole: no part of a step."""
        for tick in up.ticks():
            self.line([(across.start, up(tick)), (across.end, up(tick))], 'class="grid"')
            self.text(across.start - 8, up(tick) + 4, named.get(tick, "") + number_text(tick, "z,.6g"), "soft", "end")
        for tick in across.ticks():
            if not whole or tick == int(tick):
                self.text(
                    across(tick), up.start + 18, number_text(tick, "z,.0f" if whole else "z.6g"), "soft", "middle"
                )
        self.text((across.start + across.end) / 2, up.start + 37, name, "soft", "middle")

    def svg(self, height: int, title: str) -> str:
        self.text(16, 24, title, "title")
        size = f'width="{WIDTH}" height="{height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}" role="img" '
        head += f'aria-label="{title}" font-family="{FONT}"><style>{SVG_STYLE}</style><rect {size} class="paper"/>'
        return "\n".join([head, *self.parts, "</svg>"])


def spread(wanted: list[float], gap: float, top: float, bottom: float) -> list[float]:
    """Heights near the sorted ones wanted, a gap apart and inside the frame."""
    placed: list[float] = []
    for height in wanted:
        placed.append(max(height, placed[-1] + gap if placed else top))
    for place in reversed(range(len(placed))):
        placed[place] = min(placed[place], placed[place + 1] - gap if place + 1 < len(placed) else bottom)
    return placed


def number_text(value: float | None, form: str = "z.2f") -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, form).replace("-", "−")


def score_text(value: float | None) -> str:
    return number_text(value, "z,.0f" if abs(value or 0.0) >= 1000 else "z.3g")


def shorten(text: str) -> str:
    return text if len(text) <= 36 else text[:35] + "…"


def escape(text: str) -> str:
    """Fit for HTML and for XML, which knows no control characters."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in text))
