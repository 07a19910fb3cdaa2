"""`gato-dist collect`: writes episodes of experts, of the random policy or of Gato to disk as a dataset.

A dataset is a folder: `dataset.json` says how it is made, and each task has a folder of shards
(replay/dataset/episodes.py). Episode i of a task always has the same seed, so that a shard does not depend on who plays
it. Therefore a killed collection continues with the missing shards, and two collections at once do no harm.
"""

from collections.abc import Iterator

from gato_dist.config.data_sections import TaskConfig
from gato_dist.datasets.card import write_card
from gato_dist.datasets.collect_folder import CollectionFolder, collection_settings
from gato_dist.datasets.collect_plan import CollectionGoal, TaskPlan
from gato_dist.datasets.collect_progress import CollectProgress
from gato_dist.datasets.collect_request import CollectionRequest, min_returns, resolve_policy
from gato_dist.datasets.collect_shard import ShardJob, make_shard
from gato_dist.datasets.inspect import print_dataset
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.seeds import DATASET_SEEDS
from gato_dist.supervisor.task_jobs import TaskFailures, run_task_jobs
from gato_dist.utils.console import make_console
from replay.dataset.dataset import Dataset

CONSOLE = make_console()


def collect(request: CollectionRequest) -> None:
    """Collects what is wanted of each task into a dataset, or what is still missing, and prints the dataset.

    Raises:
        InputError: before anything is written, if the request is wrong or does not fit what the folder holds. At the
            end, if tasks failed because of the user's mistake; the other tasks are complete.
        JobFailed: at the end, if a task failed for another reason; the other tasks are complete.
    """
    if request.goal.episodes > DATASET_SEEDS:
        raise InputError(f"--episodes: {request.goal.episodes}; a collection holds 1 to {DATASET_SEEDS} of a task")
    collection = _Collection(request)
    collection.run()
    write_card(Dataset.open(request.out))
    print_dataset(request.out)
    collection.failures.raise_if_any(len(request.tasks), "not collected")


class _Collection:
    """One collection in progress. A task that fails has no plan any more."""

    def __init__(self, request: CollectionRequest) -> None:
        """Raises InputError if a task, expert, checkpoint or reference score is missing."""
        self.failures = TaskFailures()
        self._request = request
        self._policy = resolve_policy(request)
        self._tasks = {task.name: task for task in self._policy.tasks}
        self._min_returns = min_returns(self._policy.tasks, request.min_fraction)
        self._folder = CollectionFolder(request.out, collection_settings(request, self._policy, self._min_returns))
        self._plans: dict[str, TaskPlan] = {}

    def run(self) -> None:
        """Plays until every task has reached its goal or failed, and deletes what no goal needs."""
        self._folder.check()
        self._folder.check_option_paths(list(self._tasks))
        self._make_plans()
        played = sum(plan.played for plan in self._plans.values())
        CONSOLE.print(f"{self._request.out}: {played:,} episodes exist already", soft_wrap=True)
        while any(not plan.complete for plan in self._plans.values()):
            self._play()
            # From the files again: another collection may have deleted shards that it took for surplus.
            self._make_plans()
        for name in self._plans:
            surplus = self._make_plan(self._tasks[name], self._folder.goal_of(name)).surplus()
            self._folder.delete(name, surplus)
        # Again: another collection may have written its own wishes at the same moment.
        self._write_settings()

    def _write_settings(self) -> None:
        self._folder.write_settings(list(self._tasks), self._request.goal)

    def _make_plans(self) -> None:
        for name, task in self._tasks.items():
            if name not in self.failures:
                try:
                    self._plans[name] = self._make_plan(task, self._request.goal)
                except InputError as error:
                    self._fail(name, error)

    def _make_plan(self, task: TaskConfig, goal: CollectionGoal) -> TaskPlan:
        max_steps = (task.demonstration_steps or task_spec(task.name).max_steps) if goal.steps else 0
        filtered = task.name in self._min_returns
        return TaskPlan(goal, self._folder.shards_of(task.name), filtered=filtered, max_steps=max_steps)

    def _play(self) -> None:
        request, next_job = self._request, self._jobs().__next__
        results = run_task_jobs(make_shard, next_job, self.failures, workers=request.workers, address=request.address)
        # Only now: if no cluster answers, nothing is written.
        self._write_settings()
        with CollectProgress(self._plans, CONSOLE) as progress:
            for job, result in results:
                if result is None:
                    self._plans.pop(job.task, None)
                elif plan := self._plans.get(job.task):
                    plan.add(result.shard)
                    progress.add(job.task, result)
                    if plan.give_up_reason:
                        self._fail(job.task, InputError(f"{job.task}: {plan.give_up_reason}{self._limit(job.task)}"))

    def _jobs(self) -> Iterator[ShardJob | None]:
        """Yields a shard of each task in turn, and None whenever no shard can start before another one ends."""
        while True:
            idle = True
            for name, task in self._tasks.items():
                episodes = self._plans[name].start_next() if name in self._plans else None
                if episodes:
                    idle = False
                    yield ShardJob(
                        root=self._folder.root,
                        config=task,
                        checkpoint=self._policy.checkpoint,
                        seed=self._request.seed,
                        episodes=episodes,
                        min_return=self._min_returns.get(name),
                    )
            if idle:
                yield None

    def _fail(self, task: str, error: InputError) -> None:
        self.failures.add(task, error)
        self._plans.pop(task, None)

    def _limit(self, task: str) -> str:
        """The lowest return that is kept, for messages; empty if all are."""
        least = self._min_returns.get(task)
        return "" if least is None else f": --min-fraction {self._request.min_fraction} is a return of {least:.4g}"
