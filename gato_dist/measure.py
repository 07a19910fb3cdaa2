"""Commands that measure and record without training: reference scores, the task list, checkpoints' scores."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.table import Table

from actors.evaluate import Evaluator, evaluate_expert
from gato_dist.envs.registry import task_spec
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.scores import Reference, Score, ScoreRow, load_reference, save_reference
from gato_dist.specs import Modality
from gato_dist.status import make_console, score_table
from gato_dist.tasks import task_entry
from gato_dist.tokens.tokenizer import Moments

CONSOLE = make_console()


def score_experts(tasks: list[str], episodes: int, seed: int) -> None:
    """Measures random and expert on each task's reference seeds and stores them with the observations' moments."""
    for task in tasks:
        date = datetime.now(UTC).date().isoformat()
        expert = evaluate_expert(task, episodes, seed=seed)
        random = evaluate_expert(task, max(episodes, 50), kind="random", seed=seed)
        reference = Reference(
            Score.of(random, seed, date), Score.of(expert, seed, date), _moments(task, expert + random)
        )
        path = save_reference(task, reference)
        e, r = reference.expert, reference.random
        CONSOLE.print(
            f"{task}: random {r.mean:.2f} ± {r.std:.2f} ({r.episodes} episodes), "
            f"expert {e.mean:.2f} ± {e.std:.2f} ({e.episodes} episodes) → {path.name}",
            soft_wrap=True,
        )


def print_tasks(tasks: list[str]) -> None:
    """The task table: expert kind, random and expert score where they were measured."""
    table = Table(box=None, pad_edge=False)
    for name in ("task", "environment", "expert", "random", "expert score", "episodes"):
        table.add_column(name)
    for task in tasks:
        entry = task_entry(task)
        try:
            reference = load_reference(task)
            scores = [f"{reference.random.mean:.2f}", f"{reference.expert.mean:.2f}", str(reference.expert.episodes)]
        except InputError:
            scores = ["not measured", "", ""]
        table.add_row(task, entry.env, entry.expert, *scores)
    CONSOLE.print(table)


def evaluate_checkpoint(path: Path, glob: str, episodes: int) -> list[ScoreRow]:
    """Scores a checkpoint on those of its tasks that match, from the checkpoint alone."""
    from fnmatch import fnmatchcase

    from learner.checkpoint import load_for_acting

    config, tokenizer, model, counters = load_for_acting(path)
    chosen = [task for task in config.tasks if any(fnmatchcase(task.name, p.strip()) for p in glob.split(","))]
    if not chosen:
        raise InputError(f"--tasks {glob}: the checkpoint's tasks are {', '.join(task.name for task in config.tasks)}")
    rows, evaluator = [], Evaluator(config, tokenizer)
    for task in chosen:
        played = evaluator.play(model, task.name, episodes, counters.weights_version)
        returns = [episode.episode_return for episode in played]
        rows.append(ScoreRow.of(counters.step, counters.weights_version, task.name, returns, load_reference(task.name)))
    CONSOLE.print(score_table(rows))
    return rows


def _moments(task: str, episodes: list[Episode]) -> dict[str, Moments]:
    parts = [part for part in task_spec(task).observations if part.modality is Modality.CONTINUOUS]
    return {
        part.name: Moments.of(np.concatenate([np.asarray(e.observations[part.name]) for e in episodes]))
        for part in parts
    }
