"""`gato-dist train CONFIG --data DATASET`: the learner on episodes from disk, with torch and pyarrow alone."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gato_dist.config import RunConfig
from gato_dist.errors import InputError
from gato_dist.ports import State
from gato_dist.run_folder import RunFolder
from gato_dist.scores import load_reference
from gato_dist.sequence import Rows
from gato_dist.signals import Interrupt
from gato_dist.status import Status, View, new_tasks
from gato_dist.tokens.packing import Packer, Prompting
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer, pooled_statistics
from replay.corpora.chunks import corpus_rows, open_corpora
from replay.dataset import Dataset, dataset_rows
from replay.mixture import MixtureBatches


def train_from_disk(config: RunConfig, folder: RunFolder, resume: bool, data: Path | None) -> None:
    """Trains on the tasks as `data` holds them and on the corpora, and writes checkpoints; nothing is played.

    data: a dataset, or None where the configuration has no tasks.

    Resumed, it goes on with the newest checkpoint's weights in a new order of the episodes. Raises InputError for what
    the user can mend, KeyboardInterrupt once an interrupted run has written its checkpoint.
    """
    import torch

    from learner.checkpoint import CheckpointFolder
    from learner.train import train

    if config.learner.workers > 1:
        raise InputError(f"learner.workers: {config.learner.workers}, but training from disk has one worker so far")
    if data and not config.tasks:
        raise InputError(f"--data: {data}, but the configuration has no tasks, only corpora; leave it out")
    folder.check(config, resume)
    dataset = Dataset.open(data) if data else None
    corpora = open_corpora(config)
    tokenizer = _make_tokenizer(config, dataset)
    torch.set_num_threads(config.learner.threads)
    folder.open(config)
    checkpoints = CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints)
    newest = checkpoints.newest()
    # Not the order that the part of the run before this start has seen.
    seed = config.seed + (int(newest.name.removeprefix("step-")) if newest else 0)
    device = "cuda" if config.learner.gpu else "cpu"
    with Interrupt() as interrupt, View(folder.log) as view:
        host = _Host(config, interrupt, view)
        streams = corpus_rows(config, tokenizer, corpora, seed)
        if dataset:
            streams = _task_rows(config, tokenizer, dataset, seed) | streams
        batches = MixtureBatches(streams, config.weights, config.learner.batch, tokenizer.tensor_size, seed)
        train(config, tokenizer, batches, host, checkpoints, device)
        interrupt.check()
        verb = "score it with: gato-dist evaluate" if config.tasks else "use it with: gato-dist generate"
        view.note(f"checkpoint: {checkpoints.newest()}   {verb} {checkpoints.newest()}")


def _make_tokenizer(config: RunConfig, dataset: Dataset | None) -> Tokenizer:
    specs = [dataset.spec(task.name) for task in config.tasks] if dataset else []
    moments = {task.name: load_reference(task.name).moments for task in config.tasks}
    tokens = config.tokens
    text = TextTokenizer.load(tokens.text)
    try:
        statistics = pooled_statistics(specs, moments)
        return Tokenizer(specs, text, tokens.vocabulary, tokens.encoding, statistics, tokens.text_size)
    except ValueError as error:
        raise InputError(f"tokens: {error}") from error


def _task_rows(config: RunConfig, tokenizer: Tokenizer, dataset: Dataset, seed: int) -> dict[str, Iterator[Rows]]:
    tokens, streams = config.tokens, {}
    prompting = Prompting(tokens.prompt_share, tokens.prompt_tokens)
    for index, task in enumerate(config.tasks):
        own = tokenizer.tasks[task.name]
        packer = partial(
            Packer, own, tokens.length, task.window_steps, seed + index, 0, task.keep_repeats, prompting
        )  # fmt: skip
        streams[task.name] = dataset_rows(dataset.shards[task.name], own, packer, seed + index)
    return streams


class _Host:
    """The `LearnerHost` of a run without actors: figures go to the view, weights only into checkpoints."""

    def __init__(self, config: RunConfig, interrupt: Interrupt, view: View) -> None:
        self._interrupt, self._view, self._began = interrupt, view, time.monotonic()
        self._status = Status("training", tasks=new_tasks(config))

    def publish(self, version: int, step: int, weights: State) -> None:
        self._status.weights_version = version

    def report(self, metrics: dict[str, float]) -> None:
        status = self._status
        status.seconds = time.monotonic() - self._began
        status.step, status.progress = int(metrics["step"]), metrics["progress"]
        status.loss = metrics.get("loss", status.loss)
        status.learner_tokens_per_second = metrics.get("tokens_per_second", status.learner_tokens_per_second)
        for name, task in status.tasks.items():
            task.loss = metrics.get(f"loss/{name}", task.loss)
        self._view.show(status)

    def should_stop(self) -> bool:
        return self._interrupt.requested
