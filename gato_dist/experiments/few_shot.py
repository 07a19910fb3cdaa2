"""`gato-dist experiment few-shot`: what pretraining is worth on few episodes of another task (paper, section 5.2).

For each subset of episodes, the checkpoint is fine-tuned and a new model of the same kind is trained from scratch. Both
are scored on the same held-out episodes. An experiment that was stopped continues with the missing runs.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.datasets.collect import collect
from gato_dist.datasets.collect_plan import CollectionGoal
from gato_dist.datasets.collect_request import CollectionRequest
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.evaluation.checkpoint import EvaluationRequest, evaluate_checkpoint
from gato_dist.experiments.few_shot_plan import (
    FINE_TUNED,
    VARIANTS,
    FewShotRequest,
    FewShotRun,
    make_config,
    planned_runs,
)
from gato_dist.experiments.few_shot_results import DATA_DIGEST, ExperimentFolder, summary_table
from gato_dist.experiments.few_shot_subset import check_size, write_subset
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import load_reference
from gato_dist.scores.results import TaskResult
from gato_dist.tasks import task_entry
from gato_dist.tokens.fitting import check_fit
from gato_dist.training.offline import train_from_disk
from gato_dist.utils.console import make_console
from gato_dist.utils.locks import hold_folder
from learner.checkpoint import content_hash, read_contents
from learner.parallel import check_gpus
from replay.dataset.dataset import Dataset
from replay.dataset.storage import Location

CONSOLE = make_console()


def few_shot(request: FewShotRequest) -> None:
    """Trains and scores the runs that have no result yet; updates the table and the picture after each run.

    Raises:
        InputError: before anything is trained, if the request is wrong or does not fit what the folder holds.
    """
    with hold_folder(request.out):
        _run_experiment(request)


def _run_experiment(request: FewShotRequest) -> None:
    _check_task(request.task)
    folder = ExperimentFolder(request.out)
    pretrained = read_contents(request.checkpoint).config
    configs = _make_configs(pretrained, request)
    settings: dict[str, Any] = {
        "task": request.task,
        "checkpoint": content_hash(request.checkpoint),
        "data": request.data,
        "seed": request.seed,
        "scores": request.scores,
        "configs": {variant: config.model_dump(mode="json") for variant, config in configs.items()},
    }
    folder.check_settings(settings)
    if request.task in {task.name for task in pretrained.tasks}:
        CONSOLE.print(f"{request.task} is one of the checkpoint's own tasks: this is not few-shot learning")
    dataset = _open_data(request, folder, settings, configs[FINE_TUNED].tasks)
    # Among other episodes, the same draw would be another subset.
    settings[DATA_DIGEST] = _digest(dataset, request.task)
    folder.check_settings(settings)
    folder.write_settings(settings)
    _run_missing(request, folder, configs, dataset)


def _check_task(task: str) -> None:
    """Raises InputError if the task is unknown or has no expert-score fraction."""
    task_entry(task)
    reference = load_reference(task)
    if reference.expert.mean <= reference.random.mean:
        raise InputError(f"{task}: its expert is no better than random, so that it has no expert-score fraction")


def _make_configs(pretrained: RunConfig, request: FewShotRequest) -> dict[str, RunConfig]:
    """Configurations by variant. Raises InputError if one does not fit the task or this machine."""
    configs = {variant: make_config(pretrained, request, variant) for variant in VARIANTS}
    check_gpus(configs[FINE_TUNED].learner)
    for config in configs.values():
        check_fit(config, [task_spec(request.task)])
    return configs


def _open_data(
    request: FewShotRequest, folder: ExperimentFolder, settings: dict[str, Any], tasks: tuple[TaskConfig, ...]
) -> Dataset:
    """Opens the dataset, or collects one. Raises InputError if it holds too few episodes."""
    largest = max(request.episodes)
    if request.data is None:
        root = Location.of(str(request.out / "data"))
        # The settings mark the folder as an experiment, even if the collection is interrupted.
        if not folder.has_settings:
            folder.write_settings(settings)
        collect(CollectionRequest(tasks=tasks, goal=CollectionGoal(largest), out=root, seed=request.seed))
    else:
        root = Location.of(request.data)
    dataset = Dataset.open(root)
    check_size(dataset, request.task, largest)
    return dataset


def _digest(dataset: Dataset, task: str) -> str:
    checksums = [shard.manifest.sha256 for shard in dataset.shards[task]]
    return hashlib.sha256(" ".join(checksums).encode()).hexdigest()[:16]


def _run_missing(
    request: FewShotRequest, folder: ExperimentFolder, configs: dict[str, RunConfig], dataset: Dataset
) -> None:
    runs = list(planned_runs(request))
    for number, run in enumerate(runs, 1):
        if not folder.has_result(run):
            progress = f"{number} of {len(runs)}: series {run.series}, episodes {run.episodes}, {run.variant}"
            CONSOLE.print(progress, markup=False)
            folder.write_result(run, _train_and_score(request, run, configs[run.variant], dataset))
            _remove_run_files(request, run)
            folder.write_summary(request.task, runs)
    folder.write_summary(request.task, runs)
    CONSOLE.print(summary_table(folder.results(runs)))
    CONSOLE.print(f"{folder.table}   {folder.picture}", markup=False, soft_wrap=True)


def _train_and_score(request: FewShotRequest, run: FewShotRun, config: RunConfig, dataset: Dataset) -> TaskResult:
    """Trains a run, or resumes it, and scores its newest checkpoint."""
    run_folder = _run_folder(request, run)
    subset = _subset(request, run)
    if not subset.exists():
        write_subset(dataset, request.task, run, request.seed, subset)
    seeded = config.model_copy(update={"seed": request.seed * 1000 + run.series})
    train_from_disk(seeded, run_folder, (run_folder.root / "config.yaml").exists(), str(subset))
    newest = max(path for path in run_folder.checkpoints.glob("step-*") if path.suffix != ".partial")
    (result,) = evaluate_checkpoint(EvaluationRequest(checkpoint=newest, tasks=request.task, episodes=request.scores))
    return result


def _remove_run_files(request: FewShotRequest, run: FewShotRun) -> None:
    # The result is kept. The checkpoints of all runs would fill a disk.
    shutil.rmtree(_run_folder(request, run).root)
    if run.variant == VARIANTS[-1]:
        shutil.rmtree(_subset(request, run))


def _run_folder(request: FewShotRequest, run: FewShotRun) -> RunFolder:
    return RunFolder(request.out / "runs" / run.name)


def _subset(request: FewShotRequest, run: FewShotRun) -> Path:
    return request.out / "subsets" / f"{run.series}-{run.episodes}"
