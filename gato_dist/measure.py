"""`gato-dist evaluate`: the scores of a checkpoint."""

from pathlib import Path

from actors.evaluate import Evaluator
from gato_dist.errors import InputError
from gato_dist.scores import ScoreRow, load_reference
from gato_dist.status import make_console, score_table

CONSOLE = make_console()


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
