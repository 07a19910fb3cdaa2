"""Terminal output: one console for all commands, and tables that adapt to narrow terminals."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 10.0  # between two progress lines if the output is not a terminal
WIDTH = 120  # of tables if the output is not a terminal
GAP = 2  # spaces between columns


@dataclass(frozen=True)
class NamedTable:
    """A table of text whose first column holds names. It adapts to the width of the terminal.

    Attributes:
        head: names of the columns.
        rows: cells of each row.
        title: text above the table.
        caption: text below the table.
        drop: names of columns that are left out if the width does not suffice, the first one first. If empty, the
            columns that do not fit follow in further tables, which repeat the names.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    caption: str | None = None
    drop: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.drop:
            shown = self._fitting(options.max_width)
            yield self._table(shown, options.max_width, self.title, self._caption(shown))
            return
        parts = self._parts(options.max_width)
        for number, shown in enumerate(parts, 1):
            title, caption = self.title if number == 1 else None, self.caption if number == len(parts) else None
            yield self._table(shown, options.max_width, title, caption)

    def _fitting(self, width: int) -> list[int]:
        """Indices of the columns that fit, after some of `drop` are left out."""
        shown = list(range(len(self.head)))
        for name in self.drop:
            if _total(map(self._min_width, shown)) <= width:
                break
            shown = [column for column in shown if self.head[column] != name]
        return shown

    def _parts(self, width: int) -> list[list[int]]:
        """Indices of the columns of each table; each contains the first column."""
        parts = [[0]]
        for column in range(1, len(self.head)):
            if len(parts[-1]) > 1 and _total(map(self._min_width, [*parts[-1], column])) > width:
                parts.append([0])
            parts[-1].append(column)
        return parts

    def _min_width(self, column: int) -> int:
        """Width of a column whose head is wrapped at spaces."""
        words = self.head[column].split() or [""]
        return max(cell_len(text) for text in (*words, *(row[column] for row in self.rows)))

    def _caption(self, shown: Sequence[int]) -> str | None:
        left_out = [name for column, name in enumerate(self.head) if column not in shown]
        lines = [self.caption] if self.caption else []
        if left_out:
            lines.append(f"no room for: {', '.join(left_out)}")
        return "\n".join(lines) or None

    def _table(self, shown: Sequence[int], room: int, title: str | None, caption: str | None) -> Table:
        # Set explicitly, because rich shrinks the widest columns first, also that of the names.
        widths = [max(self._min_width(column), cell_len(self.head[column])) for column in shown]
        if _total(widths) > room:
            widths = [self._min_width(column) for column in shown]
        table = Table(title=title, caption=caption, box=None, pad_edge=False)
        for column, width in zip(shown, widths, strict=True):
            # A name that is wider than the terminal is wrapped: if it were cut, it could look like another name.
            table.add_column(
                Text(self.head[column]), justify="right" if column else "left", overflow="fold", width=min(width, room)
            )
        for row in self.rows:
            table.add_row(*(Text(row[column]) for column in shown))
        return table


def _total(widths: Iterable[int]) -> int:
    """Width of columns with the gaps between them."""
    each = list(widths)
    return sum(each) + GAP * (len(each) - 1)


def make_console(width: int = WIDTH) -> Console:
    """Returns the console of a command: as wide as the terminal, or `width` if the output is not a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def value_text(value: float | None, form: str) -> str:
    """Returns a number formatted with a format specification such as `.2f`; a dash for None."""
    return "–" if value is None else format(value, form)
