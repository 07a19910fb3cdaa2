"""Fine-tuning: a new run starts from the weights of a checkpoint (paper, section 5.2)."""

from pathlib import Path

from torch import Tensor

from gato_dist.config.run_config import RunConfig
from gato_dist.config.training_sections import ModelConfig
from gato_dist.errors import InputError
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint import build_model, read_contents

# Keys that may differ: they affect training, but not the shapes or the meaning of weights.
FREE_KEYS = {"preset", "dropout", "stochastic_depth", "past_actions", "past_actions_drop"}
TENSOR_EMBEDDING = "embedding.tensors."
PER_TOKEN_ID = {"embedding.tokens.weight", "head.weight"}


def initial_weights(path: Path, config: RunConfig, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """Returns the weights with which a new run starts.

    The tasks may differ from the checkpoint's, and with them the width of compact tensors. The tensor embedding keeps
    the inputs that both widths have, and each known task keeps the embedding of its separator. Weights that the
    checkpoint lacks are new.

    Args:
        path: a checkpoint's folder or a weights file.
        config: of the new run.
        tokenizer: of the new run.

    Returns:
        Tensors by name.

    Raises:
        InputError: if the checkpoint is damaged, or its vocabulary, encoding or model differs; names the key.
    """
    contents = read_contents(path)
    _check_tokens(path, contents.tokenizer, tokenizer)
    _check_model(path, contents.config.model, config.model)
    weights = build_model(config, tokenizer).state_dict()
    for name, new in weights.items():
        old = contents.weights.get(name)
        if old is None:
            if not name.startswith(TENSOR_EMBEDDING):
                raise InputError(f"{path}: it has no {name}, which this model needs")
            continue
        if name in PER_TOKEN_ID:
            new_ids, old_ids = _shared_token_ids(contents.tokenizer, tokenizer)
            new[new_ids] = old[old_ids]
            continue
        shared = tuple(slice(min(sizes)) for sizes in zip(new.shape, old.shape, strict=True))
        if new.shape != old.shape and not name.startswith(TENSOR_EMBEDDING):
            raise InputError(f"{path}: its {name} is {list(old.shape)}, this model's {list(new.shape)}")
        new[shared] = old[shared]
    return weights


def _shared_token_ids(before: Tokenizer, now: Tokenizer) -> tuple[list[int], list[int]]:
    """Returns the token ids of `now` that `before` has as well, and the same tokens' ids in `before`."""
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
    for key in sorted(set(ModelConfig.model_fields) - FREE_KEYS):
        old, new = getattr(before, key), getattr(now, key)
        if old != new:
            raise InputError(f"model.{key}: {path} was trained with {old}, this configuration has {new}")
