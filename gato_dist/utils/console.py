"""The terminal: one console for all commands, and tables that keep their first column whole where it is narrow."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 10.0  # between two plain lines where there is no terminal
WIDTH = 120
GAP = 2  # spaces between columns


@dataclass(frozen=True)
class NamedTable:
    """Rows of text. Fits itself to the width that it is shown in.

    drop: columns that may be left out, the first one first. If none is named, columns that find no room follow in a
    table below, with the names again.
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
        """Indices of the columns that are shown."""
        shown = list(range(len(self.head)))
        for name in self.drop:
            if _total(map(self._least, shown)) <= width:
                break
            shown = [column for column in shown if self.head[column] != name]
        return shown

    def _parts(self, width: int) -> list[list[int]]:
        """Indices of the columns of each table, the names' among them."""
        parts = [[0]]
        for column in range(1, len(self.head)):
            if len(parts[-1]) > 1 and _total(map(self._least, [*parts[-1], column])) > width:
                parts.append([0])
            parts[-1].append(column)
        return parts

    def _least(self, column: int) -> int:
        """A column's width with its head folded at spaces."""
        words = self.head[column].split() or [""]
        return max(cell_len(text) for text in (*words, *(row[column] for row in self.rows)))

    def _caption(self, shown: Sequence[int]) -> str | None:
        left_out = [name for column, name in enumerate(self.head) if column not in shown]
        said = [self.caption] if self.caption else []
        if left_out:
            said.append(f"no room for: {', '.join(left_out)}")
        return "\n".join(said) or None

    def _table(self, shown: Sequence[int], room: int, title: str | None, caption: str | None) -> Table:
        # Set here: rich shrinks the widest columns first, names among them.
        widths = [max(self._least(column), cell_len(self.head[column])) for column in shown]
        if _total(widths) > room:
            widths = [self._least(column) for column in shown]
        table = Table(title=title, caption=caption, box=None, pad_edge=False)
        for column, width in zip(shown, widths, strict=True):
            # A name that is wider than the terminal is folded: cut, it could be another's.
            table.add_column(
                Text(self.head[column]), justify="right" if column else "left", overflow="fold", width=min(width, room)
            )
        for row in self.rows:
            table.add_row(*(Text(row[column]) for column in shown))
        return table


def _total(widths: Iterable[int]) -> int:
    """Of columns with the gaps between them."""
    each = list(widths)
    return sum(each) + GAP * (len(each) - 1)


def make_console(width: int = WIDTH) -> Console:
    """Where commands print: as wide as the terminal, or of a width that holds their tables where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def value_text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
