"""A run's tasks and corpora as sources on disk: alone, or beside live experts."""

import hashlib
from dataclasses import dataclass
from functools import partial

from gato_dist.config.data_sections import TaskConfig, TokensConfig
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
    config: RunConfig, tokenizer: Tokenizer, dataset: Dataset | None, corpora: list[Corpus], seed: int
) -> list[DiskSource]:
    """One for each of the configuration's tasks that the dataset holds, and for its corpora: weights and indices."""
    sources = []
    for index, task in enumerate(config.tasks):
        if dataset and task.name in dataset.shards:
            own = tokenizer.tasks[task.name]
            make = partial(
                EpisodeChunks,
                dataset.shards[task.name],
                own,
                length=config.tokens.length,
                make_packer=_MakePacker(config.tokens, task, own),
                seed=seed + index,
            )
            sources.append(DiskSource(index, task.weight, make))
    for index, corpus in enumerate(corpora, len(config.tasks)):
        documents = DocumentTokenizer(
            tokenizer.text, tokenizer.vocabulary, config.tokens.image_size, corpus.config.predict_question
        )
        chunks = partial(CorpusChunks, corpus, documents, length=config.tokens.length, seed=seed + index)
        sources.append(DiskSource(index, corpus.config.weight, chunks))
    return sources


def disk_shares(config: RunConfig, dataset: Dataset | None) -> list[float]:
    """For each of a live run's tasks, the share of its sequences that comes from disk."""
    held = dataset.shards if dataset else {}
    return [config.data.share if task.name in held else 0.0 for task in config.tasks]


def open_beside(config: RunConfig, tokenizer: Tokenizer) -> Dataset | None:
    """The dataset that a live run names, if it does.

    Raises InputError where none of the run's tasks is in it, or one has another layout there than it has here.
    """
    if config.data.path is None:
        return None
    dataset = Dataset.open(config.data.path)
    shared = [task.name for task in config.tasks if task.name in dataset.shards]
    if not shared:
        held = ", ".join(dataset.shards) or "no episode yet"
        raise InputError(f"data.path: {config.data.path} holds none of the run's tasks; it has {held}")
    for name in shared:
        if dataset.spec(name) != tokenizer.tasks[name].spec:
            raise InputError(f"data.path: {name} has another layout in {config.data.path} than here; collect it again")
    return dataset


def data_fingerprint(config: RunConfig, dataset: Dataset | None, corpora: list[Corpus]) -> str:
    """Of all that decides which rows the configuration's tasks and corpora give, in which order."""
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
