"""`gato-dist experts score`: measures the random policy and the expert of tasks, and keeps their reference scores."""

import dataclasses
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from actors.evaluate import REFERENCE_BATCH, play_expert
from gato_dist.envs.registry import task_spec
from gato_dist.episode import Episode
from gato_dist.scores.references import Reference, Score, hold_reference, save_reference
from gato_dist.seeds import reference_seeds
from gato_dist.specs import Modality
from gato_dist.supervisor.task_jobs import TaskFailures, run_episode_jobs
from gato_dist.tokens.tokenizer import ObservationMoments
from gato_dist.utils.console import make_console

MIN_RANDOM_EPISODES = 50
RANDOM = "random"
CONSOLE = make_console()


@dataclass(frozen=True, kw_only=True)
class ReferenceRequest:
    """Which tasks to measure, and how.

    Attributes:
        tasks: names of the tasks.
        episodes: number of the expert's episodes of each task. The random policy plays at least 50.
        seed: chooses the reference seeds.
        kind: the expert's kind; None: the task table's.
        options: the expert's options, over those of the task table.
        workers: number of processes that play at once, as Ray tasks if more than one.
    """

    tasks: list[str]
    episodes: int
    seed: int = 0
    kind: str | None = None
    options: dict[str, Any] | None = None
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class ReferenceJob:
    """A group of one policy's episodes that are played together in one process.

    The groups do not depend on the number of workers: a planner draws random numbers for its whole batch, and scores
    must be reproducible.
    """

    task: str
    kind: str | None
    options: dict[str, Any] | None
    seeds: list[int]

    def __str__(self) -> str:
        return f"{self.task}, {len(self.seeds)} episodes from seed {self.seeds[0]}"


@dataclass
class PolicyEpisodes:
    """Episodes of one policy without their observations, which are large, and the moments of those observations."""

    episodes: list[Episode] = field(default_factory=list)
    moments: dict[str, list[ObservationMoments]] = field(default_factory=dict)

    def add(self, other: "PolicyEpisodes") -> None:
        """Adds more episodes of the policy."""
        self.episodes += other.episodes
        for name, moments in other.moments.items():
            self.moments.setdefault(name, []).extend(moments)

    def score(self, seed: int, date: str) -> Score:
        """Returns the score of all episodes. The order in which they were added does not matter."""
        # The last digit of a mean depends on the order of its terms.
        return Score.of(sorted(self.episodes, key=lambda episode: episode.provenance.seed), seed, date)


def score_experts(request: ReferenceRequest) -> None:
    """Measures the random policy and the expert of each task. Saves each task's scores as soon as they are complete.

    Raises:
        InputError: at once, if another process measures one of the tasks. At the end, if tasks could not be scored
            because of the user's mistake; the scores of the other tasks are saved.
        JobFailed: at the end, if a task failed for another reason; the scores of the other tasks are saved.
    """
    with ExitStack() as locks:
        for task in request.tasks:
            locks.enter_context(hold_reference(task))
        _score_experts(request)


def _score_experts(request: ReferenceRequest) -> None:
    jobs = [job for task in request.tasks for job in _task_jobs(request, task)]
    played = {(job.task, job.kind): PolicyEpisodes() for job in jobs}
    open_jobs = {task: sum(job.task == task for job in jobs) for task in request.tasks}
    failures = TaskFailures()
    for job, result in run_episode_jobs(play_job, jobs, failures, workers=request.workers, console=CONSOLE):
        open_jobs[job.task] -= 1
        if result is not None:
            played[job.task, job.kind].add(result)
        if not open_jobs[job.task] and job.task not in failures:
            _save(request, job.task, random=played[job.task, RANDOM], expert=played[job.task, request.kind])
    failures.raise_if_any(len(request.tasks), "not scored")


def play_job(job: ReferenceJob) -> PolicyEpisodes:
    """Plays the episodes of one job. Raises InputError as `make_expert` does."""
    parts = [part.name for part in task_spec(job.task).observations if part.modality is Modality.CONTINUOUS]
    played = PolicyEpisodes(moments={name: [] for name in parts})
    for episode in play_expert(job.task, job.seeds, job.kind, job.options):
        for name in parts:
            played.moments[name].append(ObservationMoments.of(np.asarray(episode.observations[name])))
        played.episodes.append(dataclasses.replace(episode, observations={}))
    return played


def _task_jobs(request: ReferenceRequest, task: str) -> list[ReferenceJob]:
    # A single set of episodes if the requested kind is random itself.
    counts = {request.kind: request.episodes, RANDOM: max(request.episodes, MIN_RANDOM_EPISODES)}
    jobs = []
    for kind, count in counts.items():
        seeds = reference_seeds(count, request.seed)
        options = request.options if kind == request.kind else None
        jobs += [
            ReferenceJob(task=task, kind=kind, options=options, seeds=seeds[first : first + REFERENCE_BATCH])
            for first in range(0, count, REFERENCE_BATCH)
        ]
    return jobs


def _save(request: ReferenceRequest, task: str, *, random: PolicyEpisodes, expert: PolicyEpisodes) -> None:
    date = datetime.now(UTC).date().isoformat()
    random_moments = {} if expert is random else random.moments
    moments = {
        name: ObservationMoments.pooled(parts + random_moments.get(name, [])) for name, parts in expert.moments.items()
    }
    reference = Reference(random.score(request.seed, date), expert.score(request.seed, date), moments)
    path = save_reference(task, reference)
    e, r = reference.expert, reference.random
    CONSOLE.print(
        f"{task}: random {r.mean:.2f} ± {r.std:.2f} ({r.episodes} episodes), "
        f"expert {e.mean:.2f} ± {e.std:.2f} ({e.episodes} episodes) → {path.name}",
        soft_wrap=True,
    )
