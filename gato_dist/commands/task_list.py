"""`gato-dist tasks` and `gato-dist experts list`: tables of tasks, their layouts, experts and measured scores."""

import contextlib
import time
from collections.abc import Iterator

from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError, brief
from gato_dist.scores.published import published_scores
from gato_dist.scores.references import Reference, Score, load_reference
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import task_entry
from gato_dist.tokens.step_size import min_step_tokens

SHOWN_PARTS = 4  # of an observation
MAX_COLUMN_WIDTH = 60  # characters
NO_EXPERT = "no expert"
NOT_MEASURED = "–"
TASK_COLUMNS = (
    "task", "observation", "action", "tokens", "compact", "limit", "expert", "random", "expert score", "published",
)  # fmt: skip
SPEED_COLUMN = "episodes/hour"
EXPERT_COLUMNS = ("task", "kind", "labels", "policy", "hash", "score", "episodes", "date")


def print_tasks(tasks: list[str], speed_seconds: float = 0.0) -> None:
    """Prints one line per task. A task that cannot run on this machine gets a line with the reason.

    Args:
        tasks: names of tasks.
        speed_seconds: time for which each expert plays to measure its episodes per hour. 0: not measured.
    """
    lines = [[*TASK_COLUMNS, SPEED_COLUMN] if speed_seconds else [*TASK_COLUMNS]]
    for task in _with_progress_bar(tasks) if speed_seconds else tasks:
        try:
            cells = _layout_cells(task_spec(task)) + _score_cells(task)
            if speed_seconds:
                cells.append(_episodes_per_hour(task, speed_seconds))
        except Exception as error:  # a suite's packages may raise anything; the other tasks are still listed
            cells = [f"cannot run here: {brief(error)}"]
        lines.append([task, *cells])
    _print_aligned(lines)


def print_experts(tasks: list[str]) -> None:
    """Prints one line per task: its expert, whether it can label another policy's rollout, and its measured score.

    Args:
        tasks: names of tasks.
    """
    from actors.experts.registry import find_kind

    lines = [[*EXPERT_COLUMNS]]
    for task in tasks:
        entry = task_entry(task)
        kind = find_kind(task, entry.expert) if entry.expert else None
        labels = "yes" if kind and kind.labels else "no"
        score = [NOT_MEASURED, NOT_MEASURED, "", "", ""]
        with contextlib.suppress(InputError):
            reference = load_reference(task)
            if not reference.expert_is_random:
                expert = reference.expert
                score = [expert.policy, expert.policy_hash, _interval(expert), str(expert.episodes), expert.date]
        lines.append([task, entry.expert or NO_EXPERT, labels, *score])
    _print_aligned(lines)


def _with_progress_bar(tasks: list[str]) -> Iterator[str]:
    from rich.progress import track

    from gato_dist.utils.console import make_console

    console = make_console()
    yield from track(tasks, "tasks", console=console, transient=True, disable=not console.is_terminal)


def _print_aligned(lines: list[list[str]]) -> None:
    """Prints one line per list of cells, with aligned columns. Lines of two cells do not affect the widths.

    Plain lines, not a rich table: on a narrow terminal a folded line reads better than folded columns. A cell above
    the greatest width moves only the rest of its own line.
    """
    columns = zip(*(cells for cells in lines if len(cells) > 2), strict=True)
    widths = [min(max(map(len, column)), MAX_COLUMN_WIDTH) for column in columns]
    for cells in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip())


def _layout_cells(spec: TaskSpec) -> list[str]:
    text = "+text" if any(part.modality is Modality.TEXT for part in spec.observations) else ""
    tokens = [f"{min_step_tokens(spec, 'paper')}{text}", f"{min_step_tokens(spec, 'compact')}{text}"]
    parts = ", ".join(_part_cell(part) for part in spec.observations[:SHOWN_PARTS])
    if len(spec.observations) > SHOWN_PARTS:
        parts += f" and {len(spec.observations) - SHOWN_PARTS} more"
    return [parts, _action_cell(spec.action), *tokens, str(spec.max_steps or "its own")]


def _part_cell(part: ObservationSpec) -> str:
    if part.modality is Modality.TEXT:
        return f"{part.name} text"
    shape = "×".join(map(str, part.shape)) or "1"
    values = f"<{part.num_values}" if part.num_values else ""
    return f"{part.name} {shape}{values}"


def _action_cell(action: ActionSpec) -> str:
    if action.modality is Modality.CONTINUOUS:
        return f"{action.size} floats"
    counts = sorted(set(action.num_values))
    return ("" if action.size == 1 else f"{action.size} × ") + f"one of {'…'.join(map(str, counts))}"


def _score_cells(task: str) -> list[str]:
    """Returns the expert's kind, the random and the expert score, and the published scores."""
    entry = task_entry(task)
    published = ", ".join(
        f"{score.source} {score.expert:g}" + (f", human {score.human:g}" if score.human is not None else "")
        for score in published_scores(task)
    )
    try:
        reference = load_reference(task)
    except InputError:
        return [entry.expert or NO_EXPERT, NOT_MEASURED, NOT_MEASURED, published]
    if reference.expert_is_random:
        return [NO_EXPERT, _interval(reference.random), NOT_MEASURED, published]
    kind = _expert_cell(entry.expert, reference)
    return [kind, _interval(reference.random), _interval(reference.expert), published]


def _expert_cell(expert: str, reference: Reference) -> str:
    return expert if reference.expert.mean > reference.random.mean else f"{NO_EXPERT} ({expert} ≤ random)"


def _interval(score: Score) -> str:
    """Returns the mean and half of its 95 % confidence interval (normal approximation)."""
    return f"{score.mean:.2f} ± {1.96 * score.std / score.episodes**0.5:.2f}"


def _episodes_per_hour(task: str, seconds: float) -> str:
    """Plays the task's expert in one environment for at least `seconds` and at least one episode."""
    from actors.experts.registry import make_expert
    from actors.rollout import episodes

    try:
        demonstrator = make_expert(task, [0])
    except InputError:
        return NOT_MEASURED
    started, count = time.monotonic(), 0
    with contextlib.closing(demonstrator.env):
        played = episodes(demonstrator.env, demonstrator.policy, demonstrator.provenance())
        while count == 0 or time.monotonic() - started < seconds:
            next(played)
            count += 1
    return f"{3600 * count / (time.monotonic() - started):,.0f}"
