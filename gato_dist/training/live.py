"""`gato-dist train`: closes the circle from experts to replay, learner, weights and scores, and watches it turn."""

from pathlib import Path

from actors.experts.registry import check_expert
from gato_dist.config.run_config import RunConfig
from gato_dist.envs.registry import task_spec
from gato_dist.records.run_folder import RunFolder
from gato_dist.report.result_tables import aggregate_table, result_table
from gato_dist.report.run_page import write_report
from gato_dist.scores.references import Reference, load_reference
from gato_dist.scores.results import aggregates
from gato_dist.scores.table import ScoreRow
from gato_dist.supervisor.planning import without_labels
from gato_dist.supervisor.quarantine import Part, quarantine_text
from gato_dist.supervisor.resource_errors import quiet_threads
from gato_dist.supervisor.system import System
from gato_dist.tokens.fitting import fitting_tokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.training.driver import Driver
from gato_dist.training.status_view import View
from gato_dist.utils.files import naming
from gato_dist.utils.signals import Interrupt
from learner.best import BestWeights
from learner.checkpoint import read_counters
from learner.checkpoint_folder import CheckpointFolder
from learner.initial import initial_weights
from learner.parallel import check_gpus
from replay.corpora.chunks import open_corpora
from replay.reverb.tables import check_port

GRACE_SECONDS = 6.0
REPORT_SECONDS = 60.0  # a `gato-dist report` of the same folder may just be writing


def make_tokenizer(config: RunConfig, references: dict[str, Reference]) -> Tokenizer:
    """The tokenizer of a live run. Raises InputError as `fitting_tokenizer`."""
    specs = [task_spec(task.name) for task in config.tasks]
    return fitting_tokenizer(config, specs, {task: reference.moments for task, reference in references.items()})


def train(config: RunConfig, folder: RunFolder, resume: bool) -> list[ScoreRow]:
    """Runs the whole circle until the learner is done and its last weights are scored; the last score of each task.

    Raises InputError for what the user can mend, RunFailed where a part died for good, KeyboardInterrupt where it
    was interrupted: then a checkpoint has been written and no process is left.
    """
    with folder.hold():
        return _train(config.with_absolute_paths(), folder, resume)


def _train(config: RunConfig, folder: RunFolder, resume: bool) -> list[ScoreRow]:
    folder.check(config, resume)
    references = {task.name: load_reference(task.name) for task in config.tasks}
    _check_parts(config)
    tokenizer = make_tokenizer(config, references)
    checkpoints = CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints)
    if checkpoints.newest_whole(config, tokenizer) is None and config.learner.init:
        initial_weights(Path(config.learner.init), config, tokenizer)
    with Interrupt() as interrupt:
        system = System(config, tokenizer, references, folder, interrupt)
        # Nothing is written before all that can be refused was.
        news = checkpoints.refused + system.connect()
        folder.open(config)
        best = BestWeights(folder.checkpoints, config, tokenizer, references)
        return _turn(config, folder, references, system, interrupt, best, checkpoints, news)


def _turn(
    config: RunConfig,
    folder: RunFolder,
    references: dict[str, Reference],
    system: System,
    interrupt: Interrupt,
    best: BestWeights,
    checkpoints: CheckpointFolder,
    news: list[str],
) -> list[ScoreRow]:
    # TensorBoard's writer does not name its files.
    with View(folder.log) as view, naming(folder.root), quiet_threads():
        for line in news:
            view.note(line)
        if tasks := without_labels(config):
            view.note(f"no relabelling, since their experts cannot label: {', '.join(tasks)}")
        driver = Driver(config, folder, references, system=system, view=view, interrupt=interrupt, best=best)
        try:
            begins = checkpoints.newest_whole(config, system.tokenizer)
            step = read_counters(begins).step if begins else None
            system.start(max((row.weights_version for row in driver.scores.table.rows), default=0), step, view.note)
            driver.learn()
            driver.evaluate_finally()
        finally:
            system.stop(GRACE_SECONDS, view.note)
            driver.close()
        view.note(driver.where_time_went())
        unscored = system.quarantine.tasks(Part.EVALUATION)
        results = [driver.scores.newest[task.name] for task in config.tasks if task.name not in unscored]
        view.console.print(result_table(results))
        view.console.print(aggregate_table(aggregates(results)))
        view.note(f"run folder: {folder.root}")
        view.note(f"report: {write_report(folder.root, REPORT_SECONDS)}")
        view.note(f"tensorboard --logdir {folder.tensorboard}")
        if quarantined := quarantine_text(system.quarantine.out):
            view.note(f"{quarantined}; --resume gives a new chance to what is mended")
    return [result.row for result in results]


def _check_parts(config: RunConfig) -> None:
    """What would only fail minutes later, in another process. Raises InputError."""
    for task in config.tasks:
        check_expert(task)
    open_corpora(config)
    if not config.ray.address:
        check_gpus(config.learner)
    if config.replay.port and not config.ray.address:
        for port in range(config.replay.port, config.replay.port + config.replay.shards):
            check_port(port)
