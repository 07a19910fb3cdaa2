"""`gato-dist evaluate`: the scores of a checkpoint, the same at any time and on any number of workers."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from actors.evaluate import Evaluator, evaluation_groups
from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.report.result_tables import aggregate_table, result_table
from gato_dist.scores.references import Reference, load_reference
from gato_dist.scores.results import TaskResult, aggregates
from gato_dist.scores.table import ScoreTable
from gato_dist.specs import TaskSpec
from gato_dist.supervisor.jobs import JobFailed, failure, run_jobs
from gato_dist.tasks import playable_entry, select_tasks
from gato_dist.tokens.fitting import check_prompt
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.console import make_console
from gato_dist.utils.files import atomic_path, write_text_atomically
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import to_json
from learner.checkpoint import Counters, content_hash, load_for_acting, read_references

CONSOLE = make_console()


@dataclass(frozen=True)
class Manner:
    """How to play; None: as the run's own evaluation. temperature 0 is greedy, prompt_tokens 0 shows nothing before."""

    temperature: float | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True)
class Request:
    """What to score, and where to keep it. table, details: new files."""

    checkpoint: Path
    tasks: str = "*"
    episodes: int = 50
    workers: int = 1
    manner: Manner = Manner()
    table: Path | None = None
    details: Path | None = None


@dataclass(frozen=True)
class Job:
    """A group of episodes that play together. content: of the checkpoint; a changed one is loaded anew."""

    checkpoint: Path
    content: str
    manner: Manner
    task: str
    seeds: list[int]


@dataclass(frozen=True)
class Outcome:
    """How an episode of `seed` ended. success: None where the task reports none."""

    seed: int
    score: float
    success: bool | None


@dataclass(frozen=True)
class Player:
    """A checkpoint, ready to act."""

    config: RunConfig
    tokenizer: Tokenizer
    model: Gato
    counters: Counters
    evaluator: Evaluator
    references: dict[str, Reference]

    def reference(self, task: str) -> Reference:
        """What its scores are measured against: as the run had it, else as it was measured here since."""
        return self.references[task] if task in self.references else load_reference(task)


def evaluate_checkpoint(request: Request) -> list[TaskResult]:
    """Scores a checkpoint on those of its tasks that match; prints and writes what came out.

    Raises InputError, before anything is played, where no task matches, one has no reference or a file exists; and
    InputError or JobFailed where a task could not be played: then no file is written.
    """
    written = {path for path in (request.table, request.details) if path}
    for path in written:
        _check_new(path)
    with ExitStack() as locks:
        for path in written:
            locks.enter_context(hold_file(path))
            # The one that had it may have written it meanwhile.
            _check_new(path)
        return _evaluate(request)


def _check_new(path: Path) -> None:
    if path.exists() or not path.parent.is_dir():
        why = "exists already" if path.exists() else "its folder does not exist"
        raise InputError(f"{path}: {why}; give a new file in a folder that is there")


def _evaluate(request: Request) -> list[TaskResult]:
    content = content_hash(request.checkpoint) if request.checkpoint.is_dir() else ""
    player = load_player(request.checkpoint, content, request.manner)
    tasks = select_tasks([task.name for task in player.config.tasks], request.tasks, "the checkpoint")
    references = {task: player.reference(task) for task in tasks}
    for task in tasks:
        _check_here(task, player.tokenizer.tasks[task].spec)
    played = _play_all(request, content, tasks)
    counters, results = player.counters, []
    for task in tasks:
        outcomes = sorted(played[task], key=lambda outcome: outcome.seed)
        scores, successes = [each.score for each in outcomes], [each.success for each in outcomes]
        result = TaskResult.of(
            task, scores, successes, references[task],
            step=counters.step, weights_version=counters.weights_version, tokens=counters.tokens,
            seconds=counters.seconds,
        )  # fmt: skip
        results.append(result)
    CONSOLE.print(result_table(results))
    CONSOLE.print(aggregate_table(aggregates(results)))
    if request.table:
        with atomic_path(request.table) as partial:
            _write_rows(partial, results)
    if request.details:
        details = _details(request, content, player, results)
        write_text_atomically(request.details, to_json(details, indent=1) + "\n")
    return results


def _check_here(task: str, trained: TaskSpec) -> None:
    """Raises InputError if a user's own environment cannot be made here, or is not the one that was trained on."""
    if playable_entry(task).user_defined and task_spec(task) != trained:
        raise InputError(f"{task}: its environment has other observations or actions here than the checkpoint knows")


def play(job: Job) -> list[Outcome]:
    """Runs one job."""
    import torch

    player = load_player(job.checkpoint, job.content, job.manner)
    # Sums are split among threads: another number of them may round otherwise.
    torch.set_num_threads(player.config.evaluation.threads)
    version = player.counters.weights_version
    episodes = player.evaluator.play_group(player.model, job.task, job.seeds, version)
    return [Outcome(episode.provenance.seed, episode.episode_return, episode.success) for episode in episodes]


@lru_cache(maxsize=1)
def load_player(checkpoint: Path, content: str, manner: Manner) -> Player:
    """A checkpoint with this content; kept for the next job. Raises InputError as `load_for_acting`, and for a prompt
    that is longer than half a window or holds no step."""
    config, tokenizer, model, counters = load_for_acting(checkpoint)
    changed = {key: value for key, value in asdict(manner).items() if value is not None}
    plain = config.model_dump(mode="json")
    config = parse_config(plain | {"evaluation": plain["evaluation"] | changed}, str(checkpoint))
    if "prompt_tokens" in changed:
        for task in tokenizer.tasks.values():
            check_prompt(config.evaluation, task.spec, tokenizer.encoding)
    return Player(config, tokenizer, model, counters, Evaluator(config, tokenizer), read_references(checkpoint))


def _play_all(request: Request, content: str, tasks: list[str]) -> dict[str, list[Outcome]]:
    path = request.checkpoint.resolve()
    groups = evaluation_groups(request.episodes)
    jobs = [Job(path, content, request.manner, task, seeds) for task in tasks for seeds in groups]
    played: dict[str, list[Outcome]] = {task: [] for task in tasks}
    failed: dict[str, InputError | JobFailed] = {}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, disable=not CONSOLE.is_terminal) as progress:
        bar = progress.add_task("episodes", total=len(tasks) * request.episodes)
        for job, result in run_jobs(play, partial(next, iter(jobs), None), request.workers):
            progress.advance(bar, len(job.seeds))
            if isinstance(result, InputError | JobFailed):
                failed.setdefault(job.task, result)
            else:
                played[job.task] += result
    if failed:
        raise failure(failed, f"{len(failed)} of {len(tasks)} tasks not scored")
    return played


def _details(request: Request, content: str, player: Player, results: list[TaskResult]) -> dict[str, Any]:
    evaluation = player.config.evaluation
    keys = ("temperature", "valid_actions_only", "prompt_tokens")
    return {
        "checkpoint": str(request.checkpoint),
        "content_hash": content,
        "counters": asdict(player.counters),
        "evaluation": {key: getattr(evaluation, key) for key in keys} | {"episodes": request.episodes},
        "tasks": [result.to_dict() for result in results],
        "aggregates": [asdict(each) for each in aggregates(results)],
    }


def _write_rows(path: Path, results: list[TaskResult]) -> None:
    table = ScoreTable(path)
    for result in results:
        table.append(result.row)
