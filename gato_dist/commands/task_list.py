"""`gato-dist tasks` and `experts list`: what there is, what it scored, and how fast it is here."""

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

PARTS = 4
WIDEST = 60  # characters of a cell
NO_EXPERT = "no expert"


def print_tasks(tasks: list[str], speed_seconds: float = 0.0) -> None:
    """A line for each task; one that cannot run here says why, and the others are listed all the same.

    speed_seconds: how long each expert plays here to tell its episodes per hour; 0: not at all.
    """
    head = [
        "task",
        "observation",
        "action",
        "tokens",
        "compact",
        "limit",
        "expert",
        "random",
        "expert score",
        "published",
    ]
    rows = [head + ["episodes/hour"] * bool(speed_seconds)]
    for task in _shown(tasks) if speed_seconds else tasks:
        try:
            row = _layout(task_spec(task)) + _scores(task)
            if speed_seconds:
                row.append(_speed(task, speed_seconds))
        except Exception as error:  # whatever a suite's packages raise on this machine is that task's line alone
            row = [f"cannot run here: {brief(error)}"]
        rows.append([task, *row])
    _print(rows)


def print_experts(tasks: list[str]) -> None:
    """A line for each task: its expert, whether it can label another policy's rollout, and when it was measured."""
    from actors.experts.registry import find_kind

    rows = [["task", "kind", "labels", "policy", "hash", "score", "episodes", "date"]]
    for task in tasks:
        entry = task_entry(task)
        kind = find_kind(task, entry.expert) if entry.expert else None
        labels = "yes" if kind and kind.labels else "no"
        score = ["–", "–", "", "", ""]
        with contextlib.suppress(InputError):
            reference = load_reference(task)
            if not reference.expert_is_random:
                expert = reference.expert
                score = [expert.policy, expert.policy_hash, _interval(expert), str(expert.episodes), expert.date]
        rows.append([task, entry.expert or NO_EXPERT, labels, *score])
    _print(rows)


def _shown(tasks: list[str]) -> Iterator[str]:
    """The tasks, with a bar that moves while each plays."""
    from rich.progress import track

    from gato_dist.utils.console import make_console

    console = make_console()
    yield from track(tasks, "tasks", console=console, transient=True, disable=not console.is_terminal)


def _print(rows: list[list[str]]) -> None:
    """A line for each row, its cells below one another; a row of two cells ends with a message.

    A line is a task, however wide the terminal: it folds lines better than a table folds its columns. Few cells are
    wider than `WIDEST`, and move the rest of their line rather than everybody's.
    """
    columns = zip(*(row for row in rows if len(row) > 2), strict=True)
    widths = [min(max(map(len, column)), WIDEST) for column in columns]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())


def _layout(spec: TaskSpec) -> list[str]:
    text = "+text" if any(part.modality is Modality.TEXT for part in spec.observations) else ""
    tokens = [f"{min_step_tokens(spec, 'paper')}{text}", f"{min_step_tokens(spec, 'compact')}{text}"]
    parts = ", ".join(_part(part) for part in spec.observations[:PARTS])
    if len(spec.observations) > PARTS:
        parts += f" and {len(spec.observations) - PARTS} more"
    return [parts, _action(spec.action), *tokens, str(spec.max_steps or "its own")]


def _part(part: ObservationSpec) -> str:
    shape = "×".join(map(str, part.shape)) or "1"
    values = f"<{part.num_values}" if part.num_values else ""
    return f"{part.name} {'text' if part.modality is Modality.TEXT else shape + values}"


def _action(action: ActionSpec) -> str:
    if action.modality is Modality.CONTINUOUS:
        return f"{action.size} floats"
    counts = sorted(set(action.num_values))
    return ("" if action.size == 1 else f"{action.size} × ") + f"one of {'…'.join(map(str, counts))}"


def _scores(task: str) -> list[str]:
    entry = task_entry(task)
    published = ", ".join(
        f"{row.source} {row.expert:g}" + (f", human {row.human:g}" if row.human is not None else "")
        for row in published_scores(task)
    )
    try:
        reference = load_reference(task)
    except InputError:
        return [entry.expert or NO_EXPERT, "–", "–", published]
    if reference.expert_is_random:
        return [NO_EXPERT, _interval(reference.random), "–", published]
    return [_kind(entry.expert, reference), _interval(reference.random), _interval(reference.expert), published]


def _kind(expert: str, reference: Reference) -> str:
    return expert if reference.expert.mean > reference.random.mean else f"{NO_EXPERT} ({expert} ≤ random)"


def _interval(score: Score) -> str:
    """The mean and half of its 95 % interval (normal approximation)."""
    return f"{score.mean:.2f} ± {1.96 * score.std / score.episodes**0.5:.2f}"


def _speed(task: str, seconds: float) -> str:
    """Episodes an hour of one environment's expert, from those that ended within `seconds`, and from one at least."""
    from actors.experts.registry import make_expert
    from actors.rollout import episodes

    try:
        made = make_expert(task, [0])
    except InputError:
        return "–"
    began, ended = time.monotonic(), 0
    with contextlib.closing(made.env):
        played = episodes(made.env, made.policy, made.provenance())
        while ended == 0 or time.monotonic() - began < seconds:
            next(played)
            ended += 1
    return f"{3600 * ended / (time.monotonic() - began):,.0f}"
