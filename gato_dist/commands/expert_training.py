"""The command `gato-dist experts train`: settings, progress, the score at the end."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live

from actors.experts.rl.train_settings import Settings, default_steps, make_settings
from actors.experts.rl.training_job import TrainingJob
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.tasks import task_entry
from gato_dist.utils.console import PLAIN_SECONDS, make_console
from gato_dist.utils.locks import hold_folder, is_unused
from gato_dist.utils.typed_json import to_json

if TYPE_CHECKING:
    from actors.experts.rl.train import TrainingProgress

EPISODES = 50


def train_and_score(
    task: str, overrides: list[str], steps: int | None, seed: int | None, out: Path | None, resume: bool
) -> None:
    """Trains an expert into `out`, scores it on the reference seeds and writes the score into its policy.json."""
    from actors.experts.rl.policy_files import default_folder

    folder = out or default_folder(task)
    with hold_folder(folder):
        _train_and_score(task, overrides, steps, seed, folder, resume)


def _train_and_score(
    task: str, overrides: list[str], steps: int | None, seed: int | None, folder: Path, resume: bool
) -> None:
    saved = _saved(folder, task, resume)
    settings = _settings(task, overrides, saved, folder)
    total = steps or (saved["total_steps"] if saved else default_steps(settings, task_entry(task).family))
    chosen_seed = saved["seed"] if saved else seed or 0
    if saved and seed not in (None, chosen_seed):
        raise InputError(f"--seed {seed}: the training in {folder} has seed {chosen_seed}")
    from actors.experts.rl.train import train_expert

    job = TrainingJob(task=task, settings=settings, steps=total, seed=chosen_seed, folder=folder)
    view = ProgressView()
    view.note(f"{task}: {settings.algorithm}, {total:,} steps, seed {chosen_seed} → {folder}")
    try:
        with view:
            train_expert(job, resume, view.show)
    except KeyboardInterrupt:
        if (folder / "policy.json").exists():
            view.note(f"saved in {folder}; continue with: gato-dist experts train {task} --out {folder} --resume")
        raise
    view.note(_score(job))


def _settings(task: str, overrides: list[str], saved: dict[str, Any] | None, folder: Path) -> Settings:
    given = parse_overrides(overrides)
    spec, family = task_spec(task), task_entry(task).family
    if not saved:
        return make_settings(spec, family, given)
    before = make_settings(spec, family, saved["hyperparameters"])
    settings = make_settings(spec, family, saved["hyperparameters"] | given)
    for key in given:
        if getattr(settings, key) != getattr(before, key):
            raise InputError(
                f"{key}: the training in {folder} has {getattr(before, key)}; leave it out, or start another with --out"
            )
    return settings


def parse_overrides(words: list[str]) -> dict[str, Any]:
    """`key=value` words as plain data. Raises InputError for a word of another form."""
    import yaml

    given: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise InputError(f"{word}: settings have the form key=value, such as learning_rate=0.0003")
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{key}: {value!r} is no value") from error
    return given


def _saved(folder: Path, task: str, resume: bool) -> dict[str, Any] | None:
    """policy.json of a training to resume. Raises InputError where the folder and `resume` do not agree."""
    manifest = folder / "policy.json"
    if not resume:
        if not is_unused(folder):
            raise InputError(f"{folder}: exists already; continue it with --resume or give another folder with --out")
        return None
    if not manifest.exists():
        raise InputError(f"{folder}: no training to resume there; leave out --resume to start one")
    try:
        saved = json.loads(manifest.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest}: damaged ({error})") from error
    if missing := {"task", "hyperparameters", "seed", "total_steps"} - set(saved):
        raise InputError(f"{manifest}: {', '.join(sorted(missing))} missing; it is no record of a training")
    if saved["task"] != task:
        raise InputError(f"{folder}: holds a training of {saved['task']}, not of {task}")
    return saved


def _score(job: TrainingJob) -> str:
    """Plays random and expert on the reference seeds, and writes scores and command into policy.json."""
    from actors.evaluate import evaluate_expert
    from gato_dist.scores.references import Score

    task, folder = job.task, job.folder
    date = datetime.now(UTC).date().isoformat()
    path = {"path": str(folder)}
    expert = Score.of(evaluate_expert(task, EPISODES, "checkpoint", path), 0, date)
    random = Score.of(evaluate_expert(task, EPISODES, "random"), 0, date)
    manifest = folder / "policy.json"
    scores = {
        name: {"mean": score.mean, "std": score.std, "episodes": score.episodes, "date": date}
        for name, score in (("expert", expert), ("random", random))
    }
    record = json.loads(manifest.read_text("utf-8")) | {"command": command_of(job), "scores": scores}
    partial = manifest.with_suffix(".partial")
    partial.write_text(to_json(record, indent=1), "utf-8")
    partial.rename(manifest)
    return (
        f"{task}: random {random.mean:.2f} ± {random.std:.2f}, expert {expert.mean:.2f} ± {expert.std:.2f} "
        f"({EPISODES} episodes each) → {folder}"
    )


def command_of(job: TrainingJob) -> str:
    """What makes this expert again: the task, the settings that are not its defaults, steps and seed."""
    spec, family = task_spec(job.task), task_entry(job.task).family
    words, given = [], {}
    if job.settings.algorithm != make_settings(spec, family, {}).algorithm:
        given = {"algorithm": job.settings.algorithm}
        words.append(f"algorithm={job.settings.algorithm}")
    defaults = make_settings(spec, family, given).model_dump(mode="json")
    for key, value in job.settings.model_dump(mode="json").items():
        if value != defaults[key]:
            words.append(f"{key}={to_json(value, separators=(',', ':'))}")
    return " ".join(["gato-dist experts train", job.task, *words, f"--steps {job.steps} --seed {job.seed}"])


class ProgressView:
    """The newest progress as one line: in place on a terminal, every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._console = make_console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._printed = float("-inf")

    def __enter__(self) -> "ProgressView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: "TrainingProgress") -> None:
        line = progress_line(progress)
        if self._live:
            self._live.update(line, refresh=True)
        elif time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            self.note(line)

    def note(self, message: str) -> None:
        self._console.print(message, markup=False, soft_wrap=True)


def progress_line(progress: "TrainingProgress") -> str:
    mean = "–" if progress.mean_return is None else f"{progress.mean_return:,.2f}"
    left = str(timedelta(seconds=int(progress.seconds_left)))
    return (
        f"{progress.steps / progress.total:.0%} · step {progress.steps:,} of {progress.total:,} · "
        f"{progress.steps_per_second:,.0f} steps/s · return {mean} (episodes: {progress.episodes:,}) · "
        f"{left} left"
    )
