"""report.html: what a run's folder says, on one page that needs nothing else: no network, no script, no font file."""

import html
import math
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np

from gato_dist.errors import InputError
from gato_dist.plots.charts import (
    SCALARS,
    bars_svg,
    fraction_bars_svg,
    interval_of,
    learning_curves_svg,
    newest_rows,
    scalars_svg,
)
from gato_dist.plots.drawing import FONT, Points, escape, number_text, score_text
from gato_dist.plots.profiles import SOME_TASKS, profile_svg
from gato_dist.records.cost import Cost
from gato_dist.records.run_folder import RunFolder
from gato_dist.records.usage import gato_episodes, histogram, read_usage, sequences_by_task
from gato_dist.report.run_page_parts import TILE_STYLE, mean_curve_html, measured_text, quarantine_html, tiles_html
from gato_dist.scores.bootstrap import Estimate
from gato_dist.scores.results import ALL_TASKS, EpisodeLog, TaskResult, aggregates, human_sources
from gato_dist.scores.table import ScoreRow, ScoreTable
from gato_dist.sources import Source
from gato_dist.supervisor.quarantine import Quarantined, read_quarantine
from gato_dist.utils.files import replace_text
from gato_dist.utils.locks import hold_file
from replay.usage import BINS, bin_name

LEARNED = 0.2  # the fraction that the summary counts tasks above
STYLE = (
    """:root{color-scheme:light dark;--page:#f6f8fa;--paper:#fff;--ink:#1f2328;--soft:#59636e;--grid:#d8dee4}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--paper:#161b22;--ink:#e6edf3;--soft:#9aa4af;--grid:#30363d}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 FONT} h2{font-size:19px;margin:32px 0 8px}
main{max-width:960px;margin:auto;padding:24px 16px} h1{margin:0;overflow-wrap:anywhere} small,th{color:var(--soft)}
section{background:var(--paper);border:1px solid var(--grid);border-radius:8px;padding:12px;overflow-x:auto}
svg{display:block;max-width:100%;height:auto;margin:auto} pre{font-size:13px;overflow-x:auto} summary{cursor:pointer}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 6px;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th{white-space:normal} td:first-child,th:first-child,.words td,.words th{text-align:left;white-space:normal}
td:first-child{overflow-wrap:anywhere;min-width:150px} .words td{overflow-wrap:anywhere}
svg .paper{fill:var(--paper)} svg .ink,svg .bold,svg .title{fill:var(--ink)} svg .soft{fill:var(--soft)}
svg .grid{stroke:var(--grid)} svg .whisker{stroke:var(--ink)} svg .dotted{stroke:var(--soft)}
""".replace("FONT", FONT)
    + TILE_STYLE
)


def write_report(run: Path, patience: float = 0.0) -> Path:
    """Writes report.html into a run folder, from the other files there; returns its path.

    The page replaces an older one whole or not at all. Raises InputError where scores.csv or config.yaml is missing, or
    a file cannot be read. A missing tensorboard folder, episodes.jsonl, cost.json, usage.json or quarantine.json leaves
    its part out.
    patience: seconds to wait for another process that writes the page; InputError is raised where it still does.
    """
    _check_folder(run)
    with hold_file(run / "report.html", patience):
        return _write_report(run)


def _write_report(run: Path) -> Path:
    rows = read_rows(run)
    config = (run / "config.yaml").read_text("utf-8", errors="replace")
    folder = RunFolder(run)
    scalars, cost = _read_scalars(folder.tensorboard), Cost.load(folder.cost)
    kept, usage = EpisodeLog(folder.episodes).read(), read_usage(folder.usage)
    page = _page(run.resolve().name, rows, kept, config, scalars, cost, usage, read_quarantine(folder.quarantine))
    replace_text(run / "report.html", page)
    return run / "report.html"


def read_rows(run: Path) -> list[ScoreRow]:
    """scores.csv of a run folder. Raises InputError where it is none, or a line is no score."""
    _check_folder(run)
    return ScoreTable.read(run / "scores.csv")


def _check_folder(run: Path) -> None:
    for name in ("scores.csv", "config.yaml"):
        if not (run / name).is_file():
            raise InputError(f"{run}: no {name} here; give the folder of a run, as `gato-dist train` writes it")


def results_of(rows: list[ScoreRow], results: list[TaskResult]) -> list[TaskResult]:
    """The results of each task's newest line, suite by suite; tasks whose episodes were not kept are left out."""
    kept = {(result.row.task, result.row.weights_version, result.row.episodes): result for result in results}
    keys = [(row.task, row.weights_version, row.episodes) for row in newest_rows(rows)]
    return [kept[key] for key in keys if key in kept]


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


def _score_table(rows: list[ScoreRow], results: list[TaskResult]) -> str:
    """A line for every task. results: those of the lines' episodes, as far as they were kept."""
    found = {result.row.task: result for result in results}
    head = ["Task", "Random", "Expert", "Gato, mean ± s.e.", "Fraction", "95 % interval", "Episodes"]
    success = any(result.success is not None for result in results)
    human = any(result.human_normalised is not None for result in results)
    lines = []
    for row in newest_rows(rows):
        measured = [number_text(value) for value in interval_of(row) or ()]
        fraction, interval = (measured[0], f"{measured[1]} … {measured[2]}") if measured else ("no expert", "–")
        result = found.get(row.task)
        gato = f"{score_text(row.mean)} ± {score_text(result.standard_error if result else None)}"
        cells = [row.task, score_text(row.random), score_text(row.expert), gato, fraction, interval, str(row.episodes)]
        cells += [_percent(result.success if result else None)] * success
        cells += [number_text(result.human_normalised if result else None)] * human
        lines.append(cells)
    return table_html([*head, *["Success"] * success, *["Human-normalised"] * human], lines)


def _aggregate_table(results: list[TaskResult]) -> str:
    found = aggregates(results)
    success = any(each.success is not None for each in found)
    human = any(each.human_mean is not None for each in found)
    head = ["Suite", "Tasks", "Mean fraction", "Interquartile mean", "Above 50 %", "Above 80 %"]
    head += [*["Success"] * success, *["Human-normalised, mean (median)"] * human]
    lines = []
    for each in found:
        cells = [each.name, str(each.tasks), estimate_text(each.mean), estimate_text(each.iqm)]
        cells += [f"{each.above_50} of {each.tasks}", f"{each.above_80} of {each.tasks}"]
        cells += [_percent(each.success)] * success
        norm = f"{number_text(each.human_mean)} ({number_text(each.human_median)})" if each.human_tasks else "–"
        cells += [norm] * human
        lines.append(cells)
    return table_html(head, lines)


def table_html(head: list[str], lines: list[list[str]], words: bool = False) -> str:
    """Cells are escaped. words: cells hold text, not figures."""
    first = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"
    rest = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in lines]
    return ('<table class="words">' if words else "<table>") + "\n".join([first, *rest]) + "</table>"


def estimate_text(estimate: Estimate | None) -> str:
    """Value and interval, such as 0.50 [0.40, 0.60]."""
    if estimate is None:
        return "–"
    value, low, high = (number_text(each) for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _over_tasks(results: list[TaskResult]) -> str:
    """Aggregates and the performance profile; nothing where no episodes were kept."""
    if not results:
        return ""
    suites = dict.fromkeys(result.row.suite for result in results)
    series = [(suite, [result for result in results if result.row.suite == suite]) for suite in suites]
    shown = [(suite, each) for suite, each in series if len(each) >= SOME_TASKS]
    if len(series) > 1:
        shown.insert(0, (ALL_TASKS, results))
    return f"""<h2>Over tasks</h2><section>{_aggregate_table(results)}</section>
<p><small>Every task counts the same. In brackets: 95 % intervals, from a bootstrap that draws each task's episodes
anew. The interquartile mean leaves out the lowest and the highest quarter of all episodes (Agarwal et al. 2021).
{_human_note(results)} {_left_out(results)}</small></p>
<section>{profile_svg(shown or series)}</section>"""


def _human_note(results: list[TaskResult]) -> str:
    sources = human_sources(results)
    return f"Human-normalised: (score − random) / (human − random), both as {escape(sources)} has them." * bool(sources)


def _left_out(results: list[TaskResult]) -> str:
    names = [result.row.task for result in results if result.row.fraction is None]
    return f"Left out of fractions, without a valid expert: {escape(', '.join(names))}." * bool(names)


def _cost_table(cost: Cost | None) -> str:
    if cost is None:
        return ""
    lines = [
        ["Environment steps of actors", f"{cost.env_steps:,}"],
        ["Tokens learned", f"{cost.tokens:,}"],
        ["Training", duration_text(cost.training_seconds)],
        [
            "Wall time, evaluation included",
            f"{duration_text(cost.seconds)}, in {cost.starts} start{'s' * (cost.starts != 1)}",
        ],
        ["Energy", "not told by this machine" if cost.kwh is None else f"{cost.kwh:.3g} kWh, of processors alone"],
        ["Hardware of the driver", cost.hardware],
        ["Versions", ", ".join(f"{name} {version}" for name, version in cost.versions.items())],
    ]
    return f"<h2>Cost and versions</h2><section>{table_html(['What', 'How much'], lines, words=True)}</section>"


def _sources_part(counts: Counter[str]) -> str:
    """Which sequences were learned from; nothing where all of them are demonstrations that were not counted."""
    by_source = {source: sequences_by_task(counts, source) for source in Source}
    tasks = dict.fromkeys(task for rows in by_source.values() for task in rows)
    if not tasks:
        return ""
    acts = bool(gato_episodes(counts, "episodes"))
    kinds = {
        "Gato's episodes": "episodes",
        "Of those imitated": "imitated",
        "Expert's beside": "led",
        "Dropped": "dropped",
    }
    lines = []
    for task in tasks:
        total = sum(rows.get(task, 0) for rows in by_source.values())
        cells = [f"{rows.get(task, 0):,} ({rows.get(task, 0) / max(total, 1):.0%})" for rows in by_source.values()]
        gato = [f"{gato_episodes(counts, kind).get(task, 0):,}" for kind in kinds.values()] * acts
        lines.append([task, *cells, *gato])
    head = ["Task", "Demonstrations", "Relabelled", "Its own", *list(kinds) * acts]
    bars = {
        "reuse": "How often a sequence had been drawn, this time too",
        "lag": "Weights versions behind the learner's",
    }
    shown = {title: histogram(counts, name) for name, title in bars.items() if histogram(counts, name)}
    named = {title: [(bin_name(i), found.get(i, 0)) for i in range(BINS)] for title, found in shown.items()}
    return f"""<h2>What was learned from</h2><section>{table_html(head, lines)}</section>
<p><small>Sequences by source: demonstrations; Gato's rollouts with the expert's actions as what is learned; Gato's own
good episodes. An episode is dropped where the expert did not know what to do.</small></p>
<section>{bars_svg(named)}</section>"""


def duration_text(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _page(
    folder: str,
    rows: list[ScoreRow],
    kept: list[TaskResult],
    config: str,
    scalars: dict[str, Points],
    cost: Cost | None,
    usage: Counter[str],
    out: list[Quarantined],
) -> str:
    results = results_of(rows, kept)
    found = re.search(r"^name:[ \t]*(\S.*)$", config, re.MULTILINE)
    title = found[1].strip().strip("'\"") if found else folder
    name = escape(title)
    body = f"""<small>gato_dist: report of a training run</small><h1>{name}</h1><p>{escape(_summary(rows, scalars))}</p>
{tiles_html(rows, results, cost)}{quarantine_html(out)}
<p><small>One transformer learned all the tasks below from episodes of their experts. Its score on a task is given as
the expert-score fraction, (score − random) / (expert − random): 0 is what random actions score, 1 what the expert
does. Where the expert is no better than random, it is undefined. {escape(measured_text(rows, config))}
Intervals are bootstraps over the evaluation's episodes alone; the random and expert scores count as fixed.</small></p>
<h2>Where it stands</h2><section>{fraction_bars_svg(rows)}</section>
{_over_tasks(results)}
<h2>How it got there</h2>{mean_curve_html(rows, kept)}
<section>{learning_curves_svg(rows)}</section>
<h2>Scores of the newest weights</h2><section>{_score_table(rows, results)}</section>
<h2>Training</h2><section>{scalars_svg(scalars)}</section>
{_sources_part(usage)}
{_cost_table(cost)}
<h2>Configuration</h2><section><details><summary>Every key of the run, resolved</summary>
<pre>{html.escape(config)}</pre></details></section>
<p><small>Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from the folder {escape(folder)}.</small></p>"""
    return page_html(f"{title} · gato_dist report", body)


def page_html(title: str, body: str) -> str:
    """A whole page, which may load nothing and run nothing. title is escaped, body is HTML."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>
{body}
</main></body></html>
"""
