"""`gato-dist diagnose`: what a checkpoint predicts on an expert's path, beside what it scores on its own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from actors.evaluate import evaluation_groups, play_expert
from gato_dist.config.data_sections import TaskConfig
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.evaluation.checkpoint import Job, Manner, Player, load_player, play
from gato_dist.evaluation.drift import Band, drift, labelled_episodes
from gato_dist.evaluation.teacher_forcing import Forced, agreement, following, force
from gato_dist.model.gato import Gato
from gato_dist.report.result_tables import result_table
from gato_dist.scores.results import TaskResult
from gato_dist.seeds import reference_seeds
from gato_dist.specs import ActionSpec, Modality
from gato_dist.utils.console import make_console
from learner.checkpoint import content_hash

CONSOLE = make_console()
GREEDY, SAMPLED = Manner(temperature=0.0), Manner(temperature=1.0)


@dataclass(frozen=True)
class Diagnosis:
    """shown, masked: predictions with past actions visible, as trained, and hidden. played: by temperature, 0 first.

    masked is None where a window shows a single step, or the model never sees past actions. bands: greedy, by distance
    from the expert's path; none where the expert cannot label or the observations hold no numbers.
    """

    task: str
    expert_return: float
    shown: Forced
    masked: Forced | None
    played: dict[float, TaskResult]
    bands: list[Band]


def diagnose(checkpoint: Path, task: str, episodes: int) -> Diagnosis:
    """Plays the expert and, greedily and sampled, the checkpoint; prints how they differ.

    The expert plays reference seeds and the checkpoint evaluation seeds: neither ever taught it anything. Raises
    InputError where the folder is no checkpoint or the task is none of its own.
    """
    content = content_hash(checkpoint) if checkpoint.is_dir() else ""
    player = load_player(checkpoint, content, GREEDY)
    settings = next((each for each in player.config.tasks if each.name == task), None)
    if settings is None:
        names = ", ".join(each.name for each in player.config.tasks)
        raise InputError(f"{task}: not one of the checkpoint's tasks, which are {names}")
    seeds = reference_seeds(episodes)
    shown_by_expert = sorted(
        play_expert(task, seeds, settings.expert, settings.expert_options), key=lambda episode: episode.provenance.seed
    )
    spec = player.tokenizer.tasks[task].spec
    version = player.counters.weights_version
    labelled = labelled_episodes(player.evaluator, player.model, settings, episodes, version)
    diagnosis = Diagnosis(
        task,
        float(np.mean([episode.episode_return for episode in shown_by_expert])),
        _force(player, settings, shown_by_expert, player.model),
        _masked(player, settings, shown_by_expert),
        {
            manner.temperature or 0.0: _play(checkpoint.resolve(), content, manner, task, episodes)
            for manner in (GREEDY, SAMPLED)
        },
        drift(spec, labelled, shown_by_expert),
    )
    _print(diagnosis, spec.action, episodes)
    return diagnosis


def _force(player: Player, task: TaskConfig, episodes: list[Episode], model: Gato) -> Forced:
    tokenizer = player.tokenizer.tasks[task.name]
    return force(model, tokenizer, player.config.tokens.length, task.window_steps, episodes)


def _masked(player: Player, task: TaskConfig, episodes: list[Episode]) -> Forced | None:
    model = player.model
    if task.window_steps == 1 or model.config.past_actions == "masked":
        return None
    before = model.config
    model.config = before.model_copy(update={"past_actions": "masked"})
    try:
        return _force(player, task, episodes, model)
    finally:
        model.config = before


def _play(checkpoint: Path, content: str, manner: Manner, task: str, episodes: int) -> TaskResult:
    jobs = [Job(checkpoint, content, manner, task, seeds) for seeds in evaluation_groups(episodes)]
    outcomes = [outcome for job in jobs for outcome in play(job)]
    player = load_player(checkpoint, content, manner)
    counters = player.counters
    returns, successes = [each.score for each in outcomes], [each.success for each in outcomes]
    return TaskResult.of(
        task, returns, successes, player.reference(task),
        step=counters.step, weights_version=counters.weights_version, tokens=counters.tokens, seconds=counters.seconds,
    )  # fmt: skip


def _print(diagnosis: Diagnosis, action: ActionSpec, episodes: int) -> None:
    shown, masked = diagnosis.shown, diagnosis.masked
    CONSOLE.print(
        f"{diagnosis.task}: the expert's return over {episodes} episodes is {diagnosis.expert_return:.2f}\n",
        highlight=False,
    )
    CONSOLE.print(_agreement_table(action, shown, masked))
    for line in _past_lines(shown, masked):
        CONSOLE.print(line, soft_wrap=True)
    CONSOLE.print()
    CONSOLE.print(
        _band_table(diagnosis.bands) if diagnosis.bands else "By distance from the expert's path: no figures."
    )
    CONSOLE.print()
    for temperature, result in diagnosis.played.items():
        manner = "greedy" if temperature == 0 else f"sampled at temperature {temperature:g}"
        CONSOLE.print(result_table([result], f"closed loop, {manner}"))


def _agreement_table(action: ActionSpec, shown: Forced, masked: Forced | None) -> Table:
    continuous = action.modality is Modality.CONTINUOUS
    table = Table(title="on the expert's path (teacher-forced), by action dimension", box=None, pad_edge=False)
    names = ["dimension", "greedy right", "sampled right"]
    names += ["mean error", "root mean square", "of repeating", "expert's spread"] if continuous else []
    for name in [*names, *["right, past actions hidden"] * (masked is not None)]:
        table.add_column(name, justify="right")
    hidden = agreement(masked) if masked else None
    for index, each in enumerate(agreement(shown)):
        cells = [str(index), f"{each.greedy:.1%}", f"{each.sampled:.1%}"]
        if continuous:
            cells += [_figure(value) for value in (each.error, each.root_mean_square, each.repeating, each.spread)]
        table.add_row(*cells, *([f"{hidden[index].greedy:.1%}"] if hidden else []))
    within = (
        f"right: at most {shown.tolerance} of 1024 bins away; errors in the action's own units" if continuous else ""
    )
    table.caption = within or None
    return table


def _band_table(bands: list[Band]) -> Table:
    table = Table(title="on its own path (greedy), by distance from the expert's", box=None, pad_edge=False)
    continuous = bands[0].error is not None
    for name in ["distance", "steps", "does what the expert would", *["mean error, of the range"] * continuous]:
        table.add_column(name, justify="right")
    for band in bands:
        error = [f"{band.error:.1%}"] if band.error is not None else []
        table.add_row(f"{band.low:.2f} … {band.high:.2f}", f"{band.steps:,}", f"{band.agrees:.1%}", *error)
    table.caption = "distance: root mean square to the expert's nearest state, in standard deviations"
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _past_lines(shown: Forced, masked: Forced | None) -> list[str]:
    past = following(shown)
    if past is None:
        return ["A window shows a single step: no past action is seen."]
    lines = [
        f"Repeats the action before: the expert at {past.expert_repeats:.1%} of steps, the prediction at "
        f"{past.predicted_repeats:.1%}.",
        f"Where the expert changes its action ({past.changes:,} steps), the prediction repeats the old one at "
        f"{_share(past.copies_at_changes)} and is right at {_share(past.right_at_changes)}; where the expert repeats, "
        f"it is right at {_share(past.right_at_repeats)}.",
    ]
    if masked is not None:
        changed = float((np.abs(masked.predicted - shown.predicted) > shown.tolerance).any(axis=1).mean())
        lines.append(
            f"With past actions hidden, {changed:.1%} of predictions change (a model that was always shown them was "
            "never trained for that)."
        )
    return lines


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
