"""HTML pages that need nothing else: no network, no script, no font file. Templates are in `templates/`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gato_dist.plots.figure import to_svg
from gato_dist.plots.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        head: names of the columns.
        rows: cells of each row.
        text: whether the cells hold text rather than numbers: they are aligned left and may wrap.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: bool = False


def render_page(template: str, **values: Any) -> str:
    """Returns a page as HTML. All values are escaped, except charts.

    Args:
        template: name of a file in `templates/` that extends base.html.
        values: what the template shows; `title` and `kind` of page at least.
    """
    return _environment().get_template(template).render(**values)


def chart_markup(figure: "Figure") -> Markup:
    """Returns a chart as inline SVG, which templates do not escape: matplotlib has escaped all names in it."""
    return Markup(to_svg(figure))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
