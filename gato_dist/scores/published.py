"""Scores that others published for our tasks. They are shown beside our own scores and never mixed with them."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class PublishedScore:
    """Scores of one source on one task. A score is None if the source does not report it."""

    source: str
    random: float | None
    expert: float | None
    human: float | None


def published_scores(task: str) -> list[PublishedScore]:
    """Returns what others published for a task, one entry for each source."""
    return _table().get(task, [])


@cache
def _table() -> dict[str, list[PublishedScore]]:
    text = (files("gato_dist") / "assets" / "external.csv").read_text("utf-8")
    table: dict[str, list[PublishedScore]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        random, expert, human = (float(row[name]) if row[name] else None for name in ("random", "expert", "human"))
        table.setdefault(row["task"], []).append(PublishedScore(row["source"], random, expert, human))
    return table
