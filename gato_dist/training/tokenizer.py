"""The tokenizer of a training run, live or from disk."""

from gato_dist.config.run_config import RunConfig
from gato_dist.envs.registry import task_spec
from gato_dist.scores.references import load_reference
from gato_dist.tokens.fitting import fitting_tokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from replay.dataset.dataset import Dataset
from replay.dataset.observation_moments import load_moments


def make_tokenizer(config: RunConfig, dataset: Dataset | None = None) -> Tokenizer:
    """Returns the tokenizer of the configuration's tasks and corpora.

    Args:
        config: of the run.
        dataset: if the run reads its tasks from disk, their layouts come from this dataset, and so do the statistics
            that standardise observations. Tasks without statistics there use those of their reference scores.

    Raises:
        InputError: if a task is unknown, has no reference scores, or does not fit the configuration.
    """
    names = [task.name for task in config.tasks]
    if dataset is None:
        specs, moments = [task_spec(name) for name in names], {}
    else:
        specs, moments = [dataset.spec(name) for name in names], load_moments(dataset.root)
    measured = {name: moments[name] if name in moments else load_reference(name).moments for name in names}
    return fitting_tokenizer(config, specs, measured)
