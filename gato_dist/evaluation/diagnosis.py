"""The result of a diagnosis, and the tables that show it on a terminal."""

from dataclasses import dataclass

import numpy as np
from rich.table import Table

from gato_dist.evaluation.closed_loop_agreement import DistanceBin
from gato_dist.evaluation.teacher_forced_agreement import (
    TeacherForcedPredictions,
    dimension_agreement,
    repetition_statistics,
)
from gato_dist.report.result_tables import result_table
from gato_dist.scores.results import TaskResult
from gato_dist.specs import ActionSpec, Modality
from gato_dist.utils.console import make_console, value_text

CONSOLE = make_console()


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a checkpoint gets right and wrong on one task.

    Attributes:
        task: the task's name.
        expert_return: mean return of the expert's episodes.
        past_shown: predictions on the expert's episodes, with past actions visible as in training.
        past_hidden: the same predictions with past actions hidden. None if a window holds a single step, or if the
            model never sees past actions.
        closed_loop: results of the checkpoint's own play, by temperature.
        distance_bins: agreement with the expert in the checkpoint's own greedy play, by distance from the expert's
            states. Empty if the expert cannot label, or the observations hold no numbers.
    """

    task: str
    expert_return: float
    past_shown: TeacherForcedPredictions
    past_hidden: TeacherForcedPredictions | None
    closed_loop: dict[float, TaskResult]
    distance_bins: list[DistanceBin]


def print_diagnosis(diagnosis: Diagnosis, action: ActionSpec, episodes: int) -> None:
    """Prints a diagnosis.

    Args:
        diagnosis: what to print.
        action: the task's action.
        episodes: number of the expert's episodes.
    """
    shown, hidden = diagnosis.past_shown, diagnosis.past_hidden
    CONSOLE.print(
        f"{diagnosis.task}: the expert's return over {episodes} episodes is {diagnosis.expert_return:.2f}\n",
        highlight=False,
    )
    CONSOLE.print(_agreement_table(action, shown, hidden))
    for line in _repetition_lines(shown, hidden):
        CONSOLE.print(line, soft_wrap=True)
    CONSOLE.print()
    if diagnosis.distance_bins:
        CONSOLE.print(_distance_table(diagnosis.distance_bins))
    else:
        CONSOLE.print("No agreement by distance: the expert cannot label, or the observations hold no numbers.")
    CONSOLE.print()
    for temperature, result in diagnosis.closed_loop.items():
        sampling = "greedy" if temperature == 0 else f"sampled at temperature {temperature:g}"
        CONSOLE.print(result_table([result], f"closed loop, {sampling}"))


def _agreement_table(
    action: ActionSpec, shown: TeacherForcedPredictions, hidden: TeacherForcedPredictions | None
) -> Table:
    continuous = action.modality is Modality.CONTINUOUS
    table = Table(title="on the expert's episodes (teacher-forced), by action dimension", box=None, pad_edge=False)
    names = ["dimension", "greedy correct", "sampled correct"]
    if continuous:
        names += ["mean error", "RMS error", "error of repeating", "expert's std"]
    if hidden is not None:
        names.append("correct, past actions hidden")
    for name in names:
        table.add_column(name, justify="right")
    hidden_agreement = dimension_agreement(hidden) if hidden else None
    for index, each in enumerate(dimension_agreement(shown)):
        cells = [str(index), f"{each.greedy:.1%}", f"{each.sampled:.1%}"]
        if continuous:
            errors = (each.mean_error, each.rms_error, each.repeat_error, each.expert_std)
            cells += [value_text(error, ".4g") for error in errors]
        if hidden_agreement is not None:
            cells.append(f"{hidden_agreement[index].greedy:.1%}")
        table.add_row(*cells)
    if continuous:
        table.caption = f"correct: at most {shown.tolerance} of 1024 bins away; errors in the action's own units"
    return table


def _distance_table(bins: list[DistanceBin]) -> Table:
    title = "on its own episodes (greedy), by distance from the expert's states"
    table = Table(title=title, box=None, pad_edge=False)
    continuous = bins[0].mean_error is not None
    for name in ["distance", "steps", "agrees with the expert", *["mean error, of the range"] * continuous]:
        table.add_column(name, justify="right")
    for each in bins:
        error = [f"{each.mean_error:.1%}"] if each.mean_error is not None else []
        table.add_row(f"{each.low:.2f} … {each.high:.2f}", f"{each.steps:,}", f"{each.agreement:.1%}", *error)
    table.caption = "distance: root mean square to the expert's nearest state, in standard deviations"
    return table


def _repetition_lines(shown: TeacherForcedPredictions, hidden: TeacherForcedPredictions | None) -> list[str]:
    past = repetition_statistics(shown)
    if past is None:
        return ["A window shows a single step, so that no past action is visible."]
    lines = [
        f"The expert repeats its previous action at {past.expert_repeats:.1%} of steps, the prediction at "
        f"{past.predicted_repeats:.1%}.",
        f"When the expert changes its action ({past.changes:,} steps), the prediction repeats the old action at "
        f"{value_text(past.copies_at_changes, '.1%')} of steps and is correct at "
        f"{value_text(past.correct_at_changes, '.1%')}. When the expert repeats its action, the prediction is correct "
        f"at {value_text(past.correct_at_repeats, '.1%')}.",
    ]
    if hidden is not None:
        changed = float((np.abs(hidden.predicted - shown.predicted) > shown.tolerance).any(axis=1).mean())
        lines.append(
            f"With past actions hidden, {changed:.1%} of predictions change. (A model that always saw past actions was "
            "never trained without them.)"
        )
    return lines
