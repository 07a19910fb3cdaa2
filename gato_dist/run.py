"""`gato-dist train`: closes the circle from experts to replay, learner, weights and scores, and watches it turn."""

from pathlib import Path

from actors.experts.registry import check_expert
from gato_dist.config import RunConfig
from gato_dist.config_sections import TaskConfig
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.files import naming
from gato_dist.loop import Loop
from gato_dist.quarantine import Part, quarantine_text
from gato_dist.relabelling import without_labels
from gato_dist.report import write_report
from gato_dist.results import aggregates
from gato_dist.run_folder import RunFolder
from gato_dist.scores import Reference, ScoreRow, load_reference
from gato_dist.shortage import quiet_threads
from gato_dist.signals import Interrupt
from gato_dist.specs import TaskSpec
from gato_dist.status import View, aggregate_table, result_table
from gato_dist.system import System
from gato_dist.tokens.layout import observation_tokens
from gato_dist.tokens.packing import min_step_tokens
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer, pooled_statistics
from learner.best import BestWeights
from learner.checkpoint import read_counters
from learner.checkpoint_folder import CheckpointFolder
from learner.initial import initial_weights
from replay.corpora.chunks import open_corpora
from replay.tables import check_port

GRACE_SECONDS = 6.0


def make_tokenizer(config: RunConfig, references: dict[str, Reference]) -> Tokenizer:
    """The run's tokenizer. Raises InputError where a task's window does not fit a sequence."""
    specs = [task_spec(task.name) for task in config.tasks]
    for task, spec in zip(config.tasks, specs, strict=True):
        _check_lengths(config, task, spec)
    moments = {task: reference.moments for task, reference in references.items()}
    text = TextTokenizer.load(config.tokens.text)
    try:
        return Tokenizer(
            specs,
            text,
            config.tokens.vocabulary,
            config.tokens.encoding,
            pooled_statistics(specs, moments),
            config.tokens.text_size,
            config.tokens.separators,
        )
    except ValueError as error:
        raise InputError(f"tokens: {error}") from error


def _check_lengths(config: RunConfig, task: TaskConfig, spec: TaskSpec) -> None:
    """Text is not counted: its length is known only when it is seen. Raises InputError."""
    tokens, evaluation = config.tokens, config.evaluation
    step = min_step_tokens(spec, tokens.encoding)
    if step * max(task.window_steps, 1) > tokens.length:
        raise InputError(
            f"tokens.length: {tokens.length} is too short: a window of {task.name} takes "
            f"{step * max(task.window_steps, 1)} tokens"
        )
    observed = observation_tokens(spec, tokens.encoding) + 1
    if observed > config.model.local_positions:
        raise InputError(f"model.local_positions: {config.model.local_positions}, but {task.name} needs {observed}")
    if 0 < evaluation.prompt_tokens < step:
        raise InputError(
            f"evaluation.prompt_tokens: {evaluation.prompt_tokens} hold no step of {task.name}: it takes {step}"
        )


def train(config: RunConfig, folder: RunFolder, resume: bool) -> list[ScoreRow]:
    """Runs the whole circle until the learner is done and its last weights are scored; the last score of each task.

    Raises InputError for what the user can mend, RunFailed where a part died for good, KeyboardInterrupt where it
    was interrupted: then a checkpoint has been written and no process is left.
    """
    config = config.with_absolute_paths()
    references = {task.name: load_reference(task.name) for task in config.tasks}
    folder.check(config, resume)
    _check_parts(config)
    tokenizer = make_tokenizer(config, references)
    checkpoints = CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints)
    if checkpoints.newest_whole(config, tokenizer) is None and config.learner.init:
        initial_weights(Path(config.learner.init), config, tokenizer)
    with Interrupt() as interrupt:
        system = System(config, tokenizer, folder, interrupt)
        # Nothing is written before all that can be refused was.
        news = checkpoints.refused + system.connect()
        folder.open(config)
        best = BestWeights(folder.checkpoints, config, tokenizer)
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
        loop = Loop(config, folder, references, system, view, interrupt, best)
        try:
            begins = checkpoints.newest_whole(config, system.tokenizer)
            step = read_counters(begins).step if begins else None
            system.start(max((row.weights_version for row in loop.scores.table.rows), default=0), step, view.note)
            loop.learn()
            loop.evaluate_finally()
        finally:
            system.stop(GRACE_SECONDS, view.note)
            loop.close()
        view.note(loop.where_time_went())
        unscored = system.quarantine.tasks(Part.EVALUATION)
        results = [loop.scores.newest[task.name] for task in config.tasks if task.name not in unscored]
        view.console.print(result_table(results))
        view.console.print(aggregate_table(aggregates(results)))
        view.note(f"run folder: {folder.root}   report: {write_report(folder.root)}")
        view.note(f"tensorboard --logdir {folder.tensorboard}")
        if quarantined := quarantine_text(system.quarantine.out):
            view.note(f"{quarantined}; --resume gives a new chance to what is mended")
    return [result.row for result in results]


def _check_parts(config: RunConfig) -> None:
    """What would only fail minutes later, in another process. Raises InputError."""
    for task in config.tasks:
        check_expert(task)
    open_corpora(config)
    if config.replay.port and not config.ray.address:
        for port in range(config.replay.port, config.replay.port + config.replay.shards):
            check_port(port)
