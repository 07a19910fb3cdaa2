"""report.html: what a run's folder says, on one page that needs nothing else: no network, no script, no font file."""

import html
import math
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np

from gato_dist.charts import (
    SCALARS,
    fraction_bars_svg,
    interval_of,
    learning_curves_svg,
    newest_rows,
    scalars_svg,
)
from gato_dist.drawing import FONT, Points, escape, number_text, score_text
from gato_dist.errors import InputError
from gato_dist.scores import ScoreRow, ScoreTable

LEARNED = 0.2  # the fraction that the summary counts tasks above
STYLE = """:root{color-scheme:light dark;--page:#f6f8fa;--paper:#fff;--ink:#1f2328;--soft:#59636e;--grid:#d8dee4}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--paper:#161b22;--ink:#e6edf3;--soft:#9aa4af;--grid:#30363d}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 FONT} h2{font-size:19px;margin:32px 0 8px}
main{max-width:886px;margin:auto;padding:24px 16px} h1{margin:0;overflow-wrap:anywhere} small,th{color:var(--soft)}
section{background:var(--paper);border:1px solid var(--grid);border-radius:8px;padding:12px;overflow-x:auto}
svg{display:block;max-width:100%;height:auto;margin:auto} pre{font-size:13px;overflow-x:auto} summary{cursor:pointer}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 8px;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:120px}
svg .paper{fill:var(--paper)} svg .ink,svg .bold,svg .title{fill:var(--ink)} svg .soft{fill:var(--soft)}
svg .grid{stroke:var(--grid)} svg .whisker{stroke:var(--ink)} svg .dotted{stroke:var(--soft)}""".replace("FONT", FONT)


def write_report(run: Path) -> Path:
    """Writes report.html into a run folder, from its scores.csv, config.yaml and TensorBoard scalars; returns its path.

    The page replaces an older one whole or not at all. Raises InputError where scores.csv or config.yaml is missing or
    cannot be read. A missing tensorboard folder only leaves its curves out.
    """
    for name in ("scores.csv", "config.yaml"):
        if not (run / name).is_file():
            raise InputError(f"{run}: no {name} here; give the folder of a run, as `gato-dist train` writes it")
    try:
        rows = ScoreTable.read(run / "scores.csv")
    except (ValueError, TypeError) as error:
        raise InputError(f"{run / 'scores.csv'}: a line is no row of scores: {' '.join(str(error).split())}") from error
    config = (run / "config.yaml").read_text("utf-8", errors="replace")
    page = _page(run.resolve().name, rows, config, _read_scalars(run / "tensorboard"))
    partial = run / "report.html.partial"
    try:
        partial.write_text(page, "utf-8")
        return partial.rename(run / "report.html")
    finally:
        partial.unlink(missing_ok=True)


def _read_scalars(folder: Path) -> dict[str, Points]:
    """(step, value) points of the known tags; where a resumed run logged a step again, the later value counts."""
    if not any(folder.glob("*tfevents*")):
        return {}
    # TensorBoard's own switch: without it, reading imports TensorFlow, which takes seconds and prints to the terminal.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 2000})
    events.Reload()
    kept = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"] if tag in SCALARS}
    return {tag: [p for p in sorted(values.items()) if math.isfinite(p[1])] for tag, values in kept.items()}


def _summary(rows: list[ScoreRow], scalars: dict[str, Points]) -> str:
    """The page's first sentence."""
    measured = [interval for row in newest_rows(rows) if (interval := interval_of(row))]
    steps = max([row.step for row in rows] + [int(step) for step, _ in scalars.get("learner/loss", ())], default=0)
    if not measured:
        return f"No fraction has been measured yet; the learner has taken {steps:,} steps."
    above = sum(low > LEARNED for _, low, _ in measured)
    mean = number_text(float(np.mean([value for value, _, _ in measured])))
    tasks = f"{len(measured)} task{'s' * (len(measured) != 1)} with a valid expert"
    version = max(row.weights_version for row in rows)
    return (
        f"The mean expert-score fraction is {mean} over {tasks}; in {above} of them the whole 95 % interval lies above "
        f"{LEARNED}; the last scored weights are version {version:,}, and the learner has taken {steps:,} steps."
    )


def _table(rows: list[ScoreRow]) -> str:
    head = ("Task", "Random", "Expert", "Gato, mean ± std", "Fraction", "95 % interval", "Episodes")
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    for row in newest_rows(rows):
        measured = [number_text(value) for value in interval_of(row) or ()]
        fraction, interval = (measured[0], f"{measured[1]} … {measured[2]}") if measured else ("no expert", "–")
        gato = f"{score_text(row.mean)} ± {score_text(row.std)}"
        cells = (row.task, score_text(row.random), score_text(row.expert), gato, fraction, interval, str(row.episodes))
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _page(folder: str, rows: list[ScoreRow], config: str, scalars: dict[str, Points]) -> str:
    found = re.search(r"^name:[ \t]*(\S.*)$", config, re.MULTILINE)
    name = escape(found[1].strip().strip("'\"") if found else folder)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{name} · gato_dist report</title><style>{STYLE}</style></head><body><main>
<small>gato_dist: report of a training run</small><h1>{name}</h1><p>{escape(_summary(rows, scalars))}</p>
<p><small>One transformer learned all the tasks below from episodes of their experts. Its score on a task is given as
the expert-score fraction, (score − random) / (expert − random): 0 is what random actions score, 1 what the expert
does. Where the expert is no better than random, it is undefined. Intervals are bootstraps over the evaluation's
episodes alone; the random and expert scores count as fixed.</small></p>
<h2>Where it stands</h2><section>{fraction_bars_svg(rows)}</section>
<h2>How it got there</h2><section>{learning_curves_svg(rows)}</section>
<h2>Scores of the newest weights</h2><section>{_table(rows)}</section>
<h2>Training</h2><section>{scalars_svg(scalars)}</section>
<h2>Configuration</h2><section><details><summary>Every key of the run, resolved</summary>
<pre>{html.escape(config)}</pre></details></section>
<p><small>Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from the folder {escape(folder)}.</small></p>
</main></body></html>
"""
