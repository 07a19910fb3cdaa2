"""`gato-dist experts train`: settings, progress, and the score of the trained expert."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live

from actors.experts.rl.train_settings import Settings, default_steps, make_settings
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.tasks import task_entry
from gato_dist.utils.console import PLAIN_SECONDS, make_console
from gato_dist.utils.locks import hold_folder, is_unused
from gato_dist.utils.typed_json import to_json

if TYPE_CHECKING:
    from actors.experts.rl.train import TrainingProgress
    from actors.experts.rl.training_job import TrainingJob

SCORED_EPISODES = 50
MANIFEST = "policy.json"


@dataclass(frozen=True)
class SavedTraining:
    """What policy.json records of an interrupted training.

    Attributes:
        task: the trained task.
        hyperparameters: settings by key.
        seed: random seed.
        total_steps: environment steps after which the training ends.
    """

    task: str
    hyperparameters: dict[str, Any]
    seed: int
    total_steps: int

    @classmethod
    def load(cls, folder: Path) -> "SavedTraining":
        """Reads policy.json.

        Raises:
            InputError: if the folder holds no training or the file is damaged.
        """
        path = folder / MANIFEST
        if not path.exists():
            raise InputError(f"{folder}: no training to resume there; leave out --resume to start one")
        try:
            record = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error})") from error
        fields = ("task", "hyperparameters", "seed", "total_steps")
        if missing := set(fields) - set(record):
            raise InputError(f"{path}: {', '.join(sorted(missing))} missing; this is not the record of a training")
        return cls(**{name: record[name] for name in fields})


def train_and_score(
    task: str, *, overrides: list[str], steps: int | None, seed: int | None, out: Path | None, resume: bool
) -> None:
    """Trains an expert, scores it on the reference seeds and writes the score into its policy.json.

    Args:
        task: name of the task.
        overrides: settings as `key=value`.
        steps: environment steps. None: the suite's number, or the resumed training's.
        seed: random seed. None: 0, or the resumed training's.
        out: folder to write. None: runs/experts/SUITE.TASK.
        resume: whether to continue the training in the folder.

    Raises:
        InputError: if a setting is wrong or does not match the resumed training, or the folder is in use.
        KeyboardInterrupt: if the training was interrupted; it is saved.
    """
    from actors.experts.rl.policy_files import default_folder

    folder = out or default_folder(task)
    with hold_folder(folder):
        _train_and_score(task, overrides, steps, seed, folder, resume)


def _train_and_score(
    task: str, overrides: list[str], steps: int | None, seed: int | None, folder: Path, resume: bool
) -> None:
    saved = _saved_training(task, folder) if resume else None
    if not resume and not is_unused(folder):
        raise InputError(f"{folder}: exists already; continue it with --resume or give another folder with --out")
    settings = _make_settings(task, overrides, saved, folder)
    if saved and seed not in (None, saved.seed):
        raise InputError(f"--seed {seed}: the training in {folder} has seed {saved.seed}")
    from actors.experts.rl.train import train_expert
    from actors.experts.rl.training_job import TrainingJob

    job = TrainingJob(
        task=task,
        settings=settings,
        steps=steps or (saved.total_steps if saved else default_steps(settings, task_entry(task).family)),
        seed=saved.seed if saved else seed or 0,
        folder=folder,
    )
    view = ProgressView()
    view.note(f"{task}: {settings.algorithm}, {job.steps:,} steps, seed {job.seed} → {folder}")
    try:
        with view:
            train_expert(job, resume, view.show)
    except KeyboardInterrupt:
        if (folder / MANIFEST).exists():
            view.note(f"saved in {folder}; continue with: gato-dist experts train {task} --out {folder} --resume")
        raise
    view.note(_score(job))


def _saved_training(task: str, folder: Path) -> SavedTraining:
    saved = SavedTraining.load(folder)
    if saved.task != task:
        raise InputError(f"{folder}: holds a training of {saved.task}, not of {task}")
    return saved


def _make_settings(task: str, overrides: list[str], saved: SavedTraining | None, folder: Path) -> Settings:
    """Returns the settings of a new or a resumed training. Raises InputError if an override changes a resumed one."""
    given = parse_settings(overrides)
    spec, family = task_spec(task), task_entry(task).family
    if not saved:
        return make_settings(spec, family, given)
    before = make_settings(spec, family, saved.hyperparameters).model_dump()
    settings = make_settings(spec, family, saved.hyperparameters | given)
    after = settings.model_dump()
    for key in given:
        if after[key] != before[key]:
            raise InputError(
                f"{key}: the training in {folder} has {before[key]}; leave it out, or start another with --out"
            )
    return settings


def parse_settings(overrides: list[str]) -> dict[str, Any]:
    """Parses settings of the form `key=value`.

    Args:
        overrides: arguments of the command line. Values are YAML.

    Returns:
        Values by key; a later argument replaces an earlier one with the same key.

    Raises:
        InputError: if an argument has another form.
    """
    import yaml

    settings: dict[str, Any] = {}
    for override in overrides:
        key, sign, value = override.partition("=")
        if not sign or not key:
            raise InputError(f"{override}: settings have the form key=value, such as learning_rate=0.0003")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{key}: {value!r} is not a valid value") from error
    return settings


def _score(job: "TrainingJob") -> str:
    """Scores random and expert on the reference seeds, adds scores and command to policy.json, returns a summary."""
    from actors.evaluate import evaluate_expert
    from gato_dist.scores.references import Score

    task, folder = job.task, job.folder
    date = datetime.now(UTC).date().isoformat()
    expert = Score.of(evaluate_expert(task, SCORED_EPISODES, "checkpoint", {"path": str(folder)}), 0, date)
    random = Score.of(evaluate_expert(task, SCORED_EPISODES, "random"), 0, date)
    manifest = folder / MANIFEST
    scores = {
        name: {"mean": score.mean, "std": score.std, "episodes": score.episodes, "date": date}
        for name, score in (("expert", expert), ("random", random))
    }
    record = json.loads(manifest.read_text("utf-8")) | {"command": training_command(job), "scores": scores}
    partial = manifest.with_suffix(".partial")
    partial.write_text(to_json(record, indent=1), "utf-8")
    partial.rename(manifest)
    return (
        f"{task}: random {random.mean:.2f} ± {random.std:.2f}, expert {expert.mean:.2f} ± {expert.std:.2f} "
        f"({SCORED_EPISODES} episodes each) → {folder}"
    )


def training_command(job: "TrainingJob") -> str:
    """Returns the command that trains this expert again: task, settings other than the defaults, steps and seed."""
    spec, family = task_spec(job.task), task_entry(job.task).family
    overrides, given = [], {}
    if job.settings.algorithm != make_settings(spec, family, {}).algorithm:
        given = {"algorithm": job.settings.algorithm}
        overrides.append(f"algorithm={job.settings.algorithm}")
    defaults = make_settings(spec, family, given).model_dump(mode="json")
    for key, value in job.settings.model_dump(mode="json").items():
        if value != defaults[key]:
            overrides.append(f"{key}={to_json(value, separators=(',', ':'))}")
    return " ".join(["gato-dist experts train", job.task, *overrides, f"--steps {job.steps} --seed {job.seed}"])


class ProgressView:
    """Shows the newest progress as one line: in place on a terminal, every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._console = make_console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._last_printed = float("-inf")

    def __enter__(self) -> "ProgressView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: "TrainingProgress") -> None:
        """Shows the progress, if it is time for the next line."""
        line = progress_line(progress)
        if self._live:
            self._live.update(line, refresh=True)
        elif time.monotonic() - self._last_printed >= PLAIN_SECONDS:
            self._last_printed = time.monotonic()
            self.note(line)

    def note(self, message: str) -> None:
        """Prints a message that stays."""
        self._console.print(message, markup=False, soft_wrap=True)


def progress_line(progress: "TrainingProgress") -> str:
    """Returns the progress as one line: share, steps, steps per second, mean return and remaining time."""
    mean = "–" if progress.mean_return is None else f"{progress.mean_return:,.2f}"
    remaining = timedelta(seconds=int(progress.seconds_left))
    return (
        f"{progress.steps / progress.total:.0%} · step {progress.steps:,} of {progress.total:,} · "
        f"{progress.steps_per_second:,.0f} steps/s · return {mean} (episodes: {progress.episodes:,}) · "
        f"{remaining} left"
    )
