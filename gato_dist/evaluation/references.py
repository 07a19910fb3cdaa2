"""`gato-dist experts score`: measures random and expert, many episodes at a time, and keeps what it measured."""

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from actors.evaluate import REFERENCE_BATCH, play_expert
from gato_dist.envs.registry import task_spec
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.scores.references import Reference, Score, hold_reference, save_reference
from gato_dist.seeds import reference_seeds
from gato_dist.specs import Modality
from gato_dist.supervisor.jobs import JobFailed, failure, run_jobs
from gato_dist.tokens.tokenizer import ObservationMoments
from gato_dist.utils.console import make_console

RANDOM_EPISODES = 50
CONSOLE = make_console()


@dataclass(frozen=True)
class Job:
    """One policy's first episode of each seed, all environments of it in one process.

    Jobs are cut the same however many run at once: a planner draws for its whole batch, and scores must come again.
    """

    task: str
    kind: str | None
    options: dict[str, Any] | None
    seeds: list[int]


@dataclass
class Played:
    """Episodes without their observations, which are large, and what those had on average."""

    episodes: list[Episode] = field(default_factory=list)
    moments: dict[str, list[ObservationMoments]] = field(default_factory=dict)


def score_experts(
    tasks: list[str],
    episodes: int,
    seed: int,
    kind: str | None = None,
    options: dict[str, Any] | None = None,
    workers: int = 1,
) -> None:
    """Measures each task's random policy and expert on its reference seeds; each is kept as soon as it is complete.

    kind, options: of the expert, over those of the task table. workers: jobs at once, in Ray tasks where more than one.
    Raises InputError or JobFailed in the end where tasks could not be scored; the others were. Raises InputError at
    once where another process scores one of the tasks.
    """
    with ExitStack() as held:
        for task in tasks:
            held.enter_context(hold_reference(task))
        _score_experts(tasks, episodes, seed, kind, options, workers)


def _score_experts(
    tasks: list[str], episodes: int, seed: int, kind: str | None, options: dict[str, Any] | None, workers: int
) -> None:
    jobs = [job for task in tasks for job in _jobs(task, episodes, seed, kind, options)]
    played: dict[tuple[str, str | None], Played] = {(job.task, job.kind): Played() for job in jobs}
    open_jobs = {task: sum(job.task == task for job in jobs) for task in tasks}
    failed: dict[str, InputError | JobFailed] = {}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, disable=not CONSOLE.is_terminal) as progress:
        bar = progress.add_task("episodes", total=sum(len(job.seeds) for job in jobs))
        for job, result in run_jobs(play, partial(next, iter(jobs), None), workers):
            progress.advance(bar, len(job.seeds))
            open_jobs[job.task] -= 1
            if isinstance(result, InputError | JobFailed):
                failed.setdefault(job.task, result)
                continue
            whole = played[job.task, job.kind]
            whole.episodes += result.episodes
            for name, moments in result.moments.items():
                whole.moments.setdefault(name, []).extend(moments)
            if not open_jobs[job.task] and job.task not in failed:
                _keep(job.task, played[job.task, "random"], played[job.task, kind], seed)
    if failed:
        raise failure(failed, f"{len(failed)} of {len(tasks)} tasks not scored")


def play(job: Job) -> Played:
    """Runs one job. Raises InputError as `make_expert`."""
    parts = [part.name for part in task_spec(job.task).observations if part.modality is Modality.CONTINUOUS]
    out = Played(moments={name: [] for name in parts})
    for episode in play_expert(job.task, job.seeds, job.kind, job.options):
        for name in parts:
            out.moments[name].append(ObservationMoments.of(np.asarray(episode.observations[name])))
        out.episodes.append(dataclasses.replace(episode, observations={}))
    return out


def _jobs(task: str, episodes: int, seed: int, kind: str | None, options: dict[str, Any] | None) -> list[Job]:
    jobs = []
    counts = {kind: episodes, "random": max(episodes, RANDOM_EPISODES)}  # one set where random is all that is asked
    for policy, count in counts.items():
        seeds = reference_seeds(count, seed)
        chosen = options if policy == kind else None
        cuts = range(0, count, REFERENCE_BATCH)
        jobs += [Job(task, policy, chosen, seeds[first : first + REFERENCE_BATCH]) for first in cuts]
    return jobs


def _keep(task: str, random: Played, expert: Played, seed: int) -> None:
    date = datetime.now(UTC).date().isoformat()
    others = {} if expert is random else random.moments
    moments = {name: ObservationMoments.pooled(parts + others.get(name, [])) for name, parts in expert.moments.items()}
    reference = Reference(_score(random, seed, date), _score(expert, seed, date), moments)
    path = save_reference(task, reference)
    e, r = reference.expert, reference.random
    CONSOLE.print(
        f"{task}: random {r.mean:.2f} ± {r.std:.2f} ({r.episodes} episodes), "
        f"expert {e.mean:.2f} ± {e.std:.2f} ({e.episodes} episodes) → {path.name}",
        soft_wrap=True,
    )


def _score(played: Played, seed: int, date: str) -> Score:
    # Jobs end in any order; the mean's last digit should not depend on it.
    return Score.of(sorted(played.episodes, key=lambda episode: episode.provenance.seed), seed, date)
