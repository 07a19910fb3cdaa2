"""`gato-dist evaluate`: scores a checkpoint. The scores do not depend on the number of workers."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from actors.evaluate import evaluation_groups
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.evaluation.players import CheckpointPlayer, CheckpointRef, EpisodeScore, EvaluationOverrides, load_player
from gato_dist.report.result_tables import aggregate_table, result_table
from gato_dist.scores.results import TaskResult, aggregates
from gato_dist.scores.table import ScoreTable
from gato_dist.specs import TaskSpec
from gato_dist.supervisor.task_jobs import TaskFailures, run_episode_jobs
from gato_dist.tasks import playable_entry, select_tasks
from gato_dist.utils.console import make_console
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import to_json

CONSOLE = make_console()


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What to score, how to play, and where to write the results.

    Attributes:
        checkpoint: the checkpoint's folder or exported file.
        tasks: glob, or comma-separated globs, of the checkpoint's tasks.
        episodes: number of episodes of each task.
        workers: number of processes that play at once.
        overrides: values that replace the checkpoint's own evaluation settings.
        table: new CSV file with the columns of a run's scores.csv.
        details: new JSON file with every episode's return and success, and the aggregates.
    """

    checkpoint: Path
    tasks: str = "*"
    episodes: int = 50
    workers: int = 1
    overrides: EvaluationOverrides = field(default_factory=EvaluationOverrides)
    table: Path | None = None
    details: Path | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationJob:
    """A group of episodes that are played together in one process."""

    checkpoint: CheckpointRef
    overrides: EvaluationOverrides
    task: str
    seeds: list[int]

    def __str__(self) -> str:
        return f"{self.task}, {len(self.seeds)} episodes from seed {self.seeds[0]}"


def evaluate_checkpoint(request: EvaluationRequest) -> list[TaskResult]:
    """Scores a checkpoint on its tasks that match; prints the results and writes the files.

    Raises:
        InputError: before any episode is played, if no task matches, a task has no reference or a file exists
            already. Afterwards, if a task could not be played; then no file is written.
        JobFailed: if a task failed for a reason that is not the user's mistake; then no file is written.
    """
    new_files = {path for path in (request.table, request.details) if path}
    for path in new_files:
        _check_new(path)
    with ExitStack() as locks:
        for path in new_files:
            locks.enter_context(hold_file(path))
            # The last holder of the lock may have written the file in the meantime.
            _check_new(path)
        return _evaluate(request)


def _check_new(path: Path) -> None:
    if path.exists() or not path.parent.is_dir():
        why = "exists already" if path.exists() else "its folder does not exist"
        raise InputError(f"{path}: {why}; give a new file in a folder that exists")


def _evaluate(request: EvaluationRequest) -> list[TaskResult]:
    checkpoint = CheckpointRef.of(request.checkpoint)
    player = load_player(checkpoint, request.overrides)
    tasks = select_tasks([task.name for task in player.config.tasks], request.tasks, "the checkpoint")
    for task in tasks:
        player.reference(task)
        _check_environment(task, player.tokenizer.tasks[task].spec)
    scores = _play_tasks(request, checkpoint, tasks)
    results = [player.result(task, scores[task]) for task in tasks]
    CONSOLE.print(result_table(results))
    CONSOLE.print(aggregate_table(aggregates(results)))
    if request.table:
        _write_table(request.table, results)
    if request.details:
        details = _details(request, checkpoint, player, results)
        write_text_atomically(request.details, to_json(details, indent=1) + "\n")
    return results


def _check_environment(task: str, trained: TaskSpec) -> None:
    """Raises InputError if a user's own environment is missing here or differs from the one that was trained on."""
    if playable_entry(task).user_defined and task_spec(task) != trained:
        raise InputError(f"{task}: its environment has other observations or actions here than the checkpoint knows")


def play_job(job: EvaluationJob) -> list[EpisodeScore]:
    """Plays the episodes of one job. Raises InputError as `load_player` does."""
    player = load_player(job.checkpoint, job.overrides)
    return [EpisodeScore.of(episode) for episode in player.play(job.task, job.seeds)]


def _play_tasks(
    request: EvaluationRequest, checkpoint: CheckpointRef, tasks: Sequence[str]
) -> dict[str, list[EpisodeScore]]:
    jobs = [
        EvaluationJob(checkpoint=checkpoint, overrides=request.overrides, task=task, seeds=seeds)
        for task in tasks
        for seeds in evaluation_groups(request.episodes)
    ]
    scores: dict[str, list[EpisodeScore]] = {task: [] for task in tasks}
    failures = TaskFailures()
    for job, result in run_episode_jobs(play_job, jobs, failures, workers=request.workers, console=CONSOLE):
        scores[job.task] += result or []
    failures.raise_if_any(len(tasks), "not scored")
    return scores


def _details(
    request: EvaluationRequest, checkpoint: CheckpointRef, player: CheckpointPlayer, results: list[TaskResult]
) -> dict[str, Any]:
    evaluation = player.config.evaluation
    keys = ("temperature", "valid_actions_only", "prompt_tokens")
    return {
        "checkpoint": str(request.checkpoint),
        "content_hash": checkpoint.content_hash,
        "counters": asdict(player.counters),
        "evaluation": {key: getattr(evaluation, key) for key in keys} | {"episodes": request.episodes},
        "tasks": [result.to_dict() for result in results],
        "aggregates": [asdict(each) for each in aggregates(results)],
    }


def _write_table(path: Path, results: list[TaskResult]) -> None:
    """Writes the scores under a temporary name first, so that an error leaves no incomplete file."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        table = ScoreTable(partial)
        for result in results:
            table.append(result.row)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
