"""`gato-dist train`: experts, replay, learner and evaluation, all at once."""

import time
from pathlib import Path

from actors.experts.registry import check_expert
from gato_dist.config.run_config import RunConfig
from gato_dist.records.cost import Cost
from gato_dist.records.quarantine import Part, quarantine_text
from gato_dist.records.run_folder import RunFolder
from gato_dist.records.usage import read_usage
from gato_dist.report.result_tables import aggregate_table, result_table
from gato_dist.report.run_page import write_report
from gato_dist.scores.references import load_reference
from gato_dist.scores.results import TaskResult, aggregates
from gato_dist.scores.table import ScoreRow, ScoreTable
from gato_dist.supervisor.plan import RunPlan
from gato_dist.supervisor.planning import without_labels
from gato_dist.supervisor.quarantine import Quarantine
from gato_dist.supervisor.ray_session import ray_session
from gato_dist.supervisor.system import System
from gato_dist.training.driver import Driver
from gato_dist.training.status_view import View
from gato_dist.training.tokenizer import make_tokenizer
from gato_dist.utils.energy import EnergyMeter
from gato_dist.utils.files import explain_full_disk
from gato_dist.utils.quiet_threads import quiet_threads
from gato_dist.utils.signals import Interrupt
from learner.best_weights import BestWeights
from learner.checkpoint import read_counters
from learner.checkpoint_folder import CheckpointFolder
from learner.fine_tuning import initial_weights
from learner.parallel import check_gpus
from replay.corpora.corpus import open_corpora
from replay.disk_sources import disk_shares, open_dataset
from replay.reverb.starting import check_port

GRACE_SECONDS = 6.0
REPORT_SECONDS = 60.0  # a `gato-dist report` of the same folder may be writing at this moment


def train(config: RunConfig, folder: RunFolder, resume: bool) -> list[ScoreRow]:
    """Trains until the learner is done and its last weights are scored; returns the last score of each task.

    Args:
        config: of the run.
        folder: new, or that of a run to resume.
        resume: whether to continue the run in the folder.

    Raises:
        InputError: if the configuration, a file or the machine does not allow the run; nothing is written then.
        RunFailed: if a process failed for good.
        KeyboardInterrupt: if the run was interrupted, after a checkpoint was written and all processes have ended.
    """
    with folder.hold():
        plan, warnings = _plan(config.with_absolute_paths(), folder, resume)
        with Interrupt() as interrupt, ray_session(plan, interrupt) as ray_warnings:
            # Up to here nothing is written: every input was checked.
            folder.open(plan.config)
            best = BestWeights(folder.checkpoints, plan.config, plan.tokenizer, plan.references)
            # TensorBoard's writer does not name the file in its errors.
            with View(folder.log) as view, explain_full_disk(folder.root), quiet_threads():
                for line in warnings + ray_warnings:
                    view.note(line)
                scored = max((row.weights_version for row in ScoreTable(folder.scores).rows), default=0)
                began, energy = time.monotonic(), EnergyMeter()
                system = System.start(plan, interrupt, scored, view.note)
                driver = Driver(
                    plan.config,
                    folder,
                    plan.references,
                    system=system,
                    view=view,
                    interrupt=interrupt,
                    best=best,
                    began=began,
                    energy=energy,
                )
                try:
                    driver.learn()
                    driver.evaluate_finally()
                finally:
                    system.stop(GRACE_SECONDS, view.note)
                    driver.close()
                unscored = system.quarantine.tasks(Part.EVALUATION)
                results = [driver.scores.newest[task.name] for task in config.tasks if task.name not in unscored]
                view.note(driver.where_time_went())
                _show_results(results, system.quarantine, folder, view)
                return [result.row for result in results]


def _plan(config: RunConfig, folder: RunFolder, resume: bool) -> tuple[RunPlan, list[str]]:
    """Checks and loads everything that a run needs, without writing anything.

    Returns:
        The plan, and lines for the run's log.

    Raises:
        InputError: for what would otherwise fail minutes later, in another process.
    """
    folder.check(config, resume)
    Cost.load(folder.cost)
    read_usage(folder.usage)
    references = {task.name: load_reference(task.name) for task in config.tasks}
    for task in config.tasks:
        check_expert(task)
    open_corpora(config)
    if not config.ray.address:
        _check_machine(config)
    tokenizer = make_tokenizer(config)
    checkpoints = CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints)
    newest = checkpoints.newest_valid(config, tokenizer)
    if newest is None and config.learner.init:
        initial_weights(Path(config.learner.init), config, tokenizer)
    plan = RunPlan(
        config=config,
        folder=RunFolder(folder.root.absolute()),
        tokenizer=tokenizer,
        references=references,
        disk_shares=disk_shares(config.tasks, config.data, open_dataset(config.tasks, config.data, tokenizer)),
        step=read_counters(newest).step if newest else None,
    )
    warnings = list(checkpoints.refused)
    if tasks := without_labels(config):
        warnings.append(f"no relabelling, since their experts cannot label: {', '.join(tasks)}")
    return plan, warnings


def _check_machine(config: RunConfig) -> None:
    """Raises InputError if this machine lacks the GPUs or ports that the run needs."""
    check_gpus(config.learner)
    if config.replay.port:
        for port in range(config.replay.port, config.replay.port + config.replay.shards):
            check_port(port)


def _show_results(results: list[TaskResult], quarantine: Quarantine, folder: RunFolder, view: View) -> None:
    """Prints the scores, and where everything is; writes the report."""
    view.console.print(result_table(results))
    view.console.print(aggregate_table(aggregates(results)))
    view.note(f"run folder: {folder.root}")
    view.note(f"report: {write_report(folder.root, REPORT_SECONDS)}")
    view.note(f"tensorboard --logdir {folder.tensorboard}")
    if quarantined := quarantine_text(quarantine.entries):
        view.note(f"{quarantined}; --resume tries them again")
