"""Data on disk as sources of the learner's batches: episodes of a dataset, and corpora."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gato_dist.config.data_sections import DataConfig, TaskConfig, TokensConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer, Prompting
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.typed_json import to_json
from replay.corpora.chunks import CorpusChunks
from replay.corpora.corpus import Corpus
from replay.dataset.dataset import Dataset
from replay.episode_chunks import EpisodeChunks
from replay.loader import DiskSource


@dataclass(frozen=True)
class _MakePacker:
    """Makes a packer for one task; can be sent to another process."""

    tokens: TokensConfig
    task: TaskConfig
    tokenizer: TaskTokenizer

    def __call__(self, seed: int) -> Packer:
        tokens, task = self.tokens, self.task
        prompting = Prompting(tokens.prompt_share, tokens.prompt_tokens)
        return Packer(
            self.tokenizer,
            length=tokens.length,
            window_steps=task.window_steps,
            seed=seed,
            first_item=0,
            keep_repeats=task.keep_repeats,
            prompting=prompting,
        )


def disk_sources(
    config: RunConfig, tokenizer: Tokenizer, dataset: Dataset | None, corpora: list[Corpus], *, seed: int
) -> list[DiskSource]:
    """Returns a source for every task that the dataset holds, and for every corpus.

    Args:
        config: of the run: its tasks, their weights, and how they are tokenized.
        tokenizer: of the run.
        dataset: None if the run has none.
        corpora: the run's corpora, in the configuration's order.
        seed: of the order in which each source is read.
    """
    sources = []
    for index, task in enumerate(config.tasks):
        if dataset and task.name in dataset.shards:
            task_tokenizer = tokenizer.tasks[task.name]
            make_packer = _MakePacker(config.tokens, task, task_tokenizer)
            episodes = partial(
                EpisodeChunks,
                dataset.shards[task.name],
                task_tokenizer,
                length=config.tokens.length,
                make_packer=make_packer,
                seed=seed + index,
            )
            sources.append(DiskSource(index, task.weight, episodes))
    for index, corpus in enumerate(corpora, len(config.tasks)):
        document_tokenizer = DocumentTokenizer(
            tokenizer.text, tokenizer.vocabulary, config.tokens.image_size, corpus.config.predict_question
        )
        documents = partial(CorpusChunks, corpus, document_tokenizer, length=config.tokens.length, seed=seed + index)
        sources.append(DiskSource(index, corpus.config.weight, documents))
    return sources


def disk_shares(tasks: Sequence[TaskConfig], config: DataConfig, dataset: Dataset | None) -> list[float]:
    """Returns, for each task of a live run, the share of its sequences that comes from the dataset."""
    held = dataset.shards if dataset else {}
    return [config.share if task.name in held else 0.0 for task in tasks]


def open_dataset(tasks: Sequence[TaskConfig], config: DataConfig, tokenizer: Tokenizer) -> Dataset | None:
    """Opens the dataset that a live run reads in addition to its experts; returns None if it has none.

    Raises:
        InputError: if the dataset holds none of the tasks, or holds one with another layout than the tokenizer's.
    """
    if config.path is None:
        return None
    dataset = Dataset.open(config.path)
    shared = [task.name for task in tasks if task.name in dataset.shards]
    if not shared:
        held = ", ".join(dataset.shards) or "no episode yet"
        raise InputError(f"data.path: {config.path} holds none of the run's tasks; it has {held}")
    for name in shared:
        if dataset.spec(name) != tokenizer.tasks[name].spec:
            raise InputError(f"data.path: {name} has another layout in {config.path} than here; collect it again")
    return dataset


def data_fingerprint(config: RunConfig, dataset: Dataset | None, corpora: list[Corpus]) -> str:
    """Returns a hash of everything that decides which sequences the run reads, and in which order."""
    shards = dataset.shards if dataset else {}
    settings = {
        "sums": [[shard.manifest.sha256 for shard in shards[task.name]] for task in config.tasks],
        "corpora": [corpus.fingerprint for corpus in corpora],
        "tasks": [task.model_dump(mode="json") for task in config.tasks],
        "tokens": config.tokens.model_dump(mode="json"),
        "batch": config.learner.batch,
        "lanes": config.lanes,
    }
    return hashlib.sha256(to_json(settings, sort_keys=True).encode()).hexdigest()[:16]
