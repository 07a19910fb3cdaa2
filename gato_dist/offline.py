"""`gato-dist train CONFIG --data DATASET`: the learner on episodes from disk, with torch and pyarrow alone."""

import time
from functools import partial

from gato_dist.config import RunConfig
from gato_dist.errors import InputError
from gato_dist.ports import State
from gato_dist.run_folder import RunFolder
from gato_dist.scores import load_reference
from gato_dist.signals import Interrupt
from gato_dist.status import Status, TaskStatus, View
from gato_dist.tokens.packing import Packer, Prompting
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer, pooled_statistics
from replay.dataset import Dataset, dataset_rows
from replay.mixture import MixtureBatches
from replay.moments import load_moments


def train_from_disk(config: RunConfig, folder: RunFolder, resume: bool, data: str) -> None:
    """Trains on the configuration's tasks as `data` holds them, and writes checkpoints; nothing is played.

    Resumed, it goes on with the newest checkpoint's weights in a new order of the episodes. Raises InputError for what
    the user can mend, KeyboardInterrupt once an interrupted run has written its checkpoint.
    """
    import torch

    from learner.checkpoint import CheckpointFolder
    from learner.train import train

    if config.learner.workers > 1:
        raise InputError(f"learner.workers: {config.learner.workers}, but training from disk has one worker so far")
    folder.check(config, resume)
    dataset = Dataset.open(data)
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
        train(config, tokenizer, _batches(config, tokenizer, dataset, seed), host, checkpoints, device)
        interrupt.check()
        view.note(f"checkpoint: {checkpoints.newest()}   score it with: gato-dist evaluate {checkpoints.newest()}")


def _make_tokenizer(config: RunConfig, dataset: Dataset) -> Tokenizer:
    specs = [dataset.spec(task.name) for task in config.tasks]
    kept = load_moments(dataset.root)
    names = [task.name for task in config.tasks]
    moments = {name: kept[name] if name in kept else load_reference(name).moments for name in names}
    tokens = config.tokens
    text = TextTokenizer.load(tokens.text)
    try:
        statistics = pooled_statistics(specs, moments)
        return Tokenizer(specs, text, tokens.vocabulary, tokens.encoding, statistics, tokens.text_size)
    except ValueError as error:
        raise InputError(f"tokens: {error}") from error


def _batches(config: RunConfig, tokenizer: Tokenizer, dataset: Dataset, seed: int) -> MixtureBatches:
    tokens, streams = config.tokens, {}
    prompting = Prompting(tokens.prompt_share, tokens.prompt_tokens)
    for index, task in enumerate(config.tasks):
        own = tokenizer.tasks[task.name]
        packer = partial(
            Packer, own, tokens.length, task.window_steps, seed + index, 0, task.keep_repeats, prompting
        )  # fmt: skip
        streams[task.name] = dataset_rows(dataset.shards[task.name], own, packer, seed + index)
    weights = {task.name: task.weight for task in config.tasks}
    return MixtureBatches(streams, weights, config.learner.batch, tokenizer.tensor_size, seed)


class _Host:
    """The `LearnerHost` of a run without actors: figures go to the view, weights only into checkpoints."""

    def __init__(self, config: RunConfig, interrupt: Interrupt, view: View) -> None:
        self._interrupt, self._view, self._began = interrupt, view, time.monotonic()
        self._status = Status("training", tasks={task.name: TaskStatus() for task in config.tasks})

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
