"""Commands that measure and record without training: reference scores, checkpoints' scores."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from actors.evaluate import Evaluator, evaluate_expert
from gato_dist.envs.registry import task_spec
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.scores import Reference, Score, ScoreRow, load_reference, save_reference
from gato_dist.specs import Modality
from gato_dist.status import make_console, score_table
from gato_dist.tokens.tokenizer import Moments

CONSOLE = make_console()


def score_experts(
    tasks: list[str], episodes: int, seed: int, kind: str | None = None, options: dict[str, Any] | None = None
) -> None:
    """Measures random and expert on each task's reference seeds and stores them with the observations' moments.

    kind, options: of the expert, over those of the task table.
    """
    for task in tasks:
        date = datetime.now(UTC).date().isoformat()
        expert = evaluate_expert(task, episodes, kind, options, seed)
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
