"""Weights of a checkpoint in a new run: fine-tuning (paper, section 5.2)."""

from pathlib import Path

from torch import Tensor

from gato_dist.config.run_config import RunConfig
from gato_dist.config.training_sections import ModelConfig
from gato_dist.errors import InputError
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint import build_model, read_contents

# These may change: they hold no weights and decide how a model learns, not what it is.
FREE = {"preset", "dropout", "stochastic_depth", "past_actions", "past_actions_drop"}
TENSORS = "embedding.tensors."
BY_TOKEN = {"embedding.tokens.weight", "head.weight"}


def initial_weights(path: Path, config: RunConfig, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """The weights that a new run of `config` begins with.

    Tasks may differ, and with them the width of compact tensors: the projection keeps the columns (and the grid
    table the rows) that both have, and a task's own separator its row; what the checkpoint lacks is new. Raises
    InputError, naming the key, where the vocabulary, the encoding or the model differs, and where the checkpoint is
    not whole.
    """
    contents = read_contents(path)
    _check_tokens(path, contents.tokenizer, tokenizer)
    _check_model(path, contents.config.model, config.model)
    weights = build_model(config, tokenizer).state_dict()
    for name, new in weights.items():
        old = contents.weights.get(name)
        if old is None:
            if not name.startswith(TENSORS):
                raise InputError(f"{path}: it has no {name}, which this model needs")
            continue
        if name in BY_TOKEN:
            kept, taken = _token_rows(contents.tokenizer, tokenizer)
            new[kept] = old[taken]
            continue
        shared = tuple(slice(min(sizes)) for sizes in zip(new.shape, old.shape, strict=True))
        if new.shape != old.shape and not name.startswith(TENSORS):
            raise InputError(f"{path}: its {name} is {list(old.shape)}, this model's {list(new.shape)}")
        new[shared] = old[shared]
    return weights


def _token_rows(before: Tokenizer, now: Tokenizer) -> tuple[list[int], list[int]]:
    """Rows of `now`'s vocabulary that `before` has too, and where they lie there."""
    shared = list(range(now.vocabulary.separator + 1))
    both = [task for task in now.tasks if task in before.tasks and now.separators == "task"]
    return (
        shared + [now.tasks[task].separator for task in both],
        shared + [before.tasks[task].separator for task in both],
    )


def _check_tokens(path: Path, before: Tokenizer, now: Tokenizer) -> None:
    compared = {
        "tokens.encoding": (before.encoding, now.encoding),
        "tokens.vocabulary": (before.vocabulary.scheme, now.vocabulary.scheme),
        "tokens.separators": (before.separators, now.separators),
        "tokens.text_size": (before.vocabulary.text_size, now.vocabulary.text_size),
        "tokens.text": (f"text model {before.text.fingerprint}", f"text model {now.text.fingerprint}"),
    }
    for key, (old, new) in compared.items():
        if old != new:
            raise InputError(f"{key}: {path} was trained with {old}, this configuration has {new}")


def _check_model(path: Path, before: ModelConfig, now: ModelConfig) -> None:
    for key in sorted(set(ModelConfig.model_fields) - FREE):
        old, new = getattr(before, key), getattr(now, key)
        if old != new:
            raise InputError(f"model.{key}: {path} was trained with {old}, this configuration has {new}")
