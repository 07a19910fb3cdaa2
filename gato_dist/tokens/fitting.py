"""Checks that tasks fit a configuration's sequences and model, and makes their tokenizer."""

from collections.abc import Sequence

from gato_dist.config.process_sections import EvaluationConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.specs import TaskSpec
from gato_dist.tokens.step_size import Encoding, min_step_tokens, observation_tokens
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import ObservationMoments, Tokenizer, pooled_statistics


def fitting_tokenizer(
    config: RunConfig, specs: Sequence[TaskSpec], moments: dict[str, dict[str, ObservationMoments]]
) -> Tokenizer:
    """Returns the tokenizer of a run.

    Args:
        config: of the run.
        specs: layouts of the configuration's tasks, in its order.
        moments: mean and variance of each task's continuous observations, by task and observation.

    Raises:
        InputError: if a task does not fit the configuration; the message names the key.
    """
    check_fit(config, specs)
    tokens = config.tokens
    text = TextTokenizer.load(tokens.text)
    try:
        statistics = pooled_statistics(list(specs), moments)
        return Tokenizer(
            list(specs),
            text,
            scheme=tokens.vocabulary,
            encoding=tokens.encoding,
            statistics=statistics,
            text_size=tokens.text_size,
            separators=tokens.separators,
        )
    except ValueError as error:
        raise InputError(f"tokens: {error}") from error


def check_fit(config: RunConfig, specs: Sequence[TaskSpec]) -> None:
    """Checks windows, local positions and prompts. Text does not count: its length is only known once it is observed.

    Args:
        config: of the run.
        specs: layouts of the configuration's tasks, in its order.

    Raises:
        InputError: if a task needs more; the message names the key and the task.
    """
    tokens = config.tokens
    for task, spec in zip(config.tasks, specs, strict=True):
        window = min_step_tokens(spec, tokens.encoding) * max(task.window_steps, 1)
        if window > tokens.length:
            raise InputError(
                f"tokens.length: {tokens.length} is too short: a window of {task.name} takes {window} tokens"
            )
        # Local positions begin at 0 again for the action.
        needed = max(observation_tokens(spec, tokens.encoding) + 1, spec.action.size)
        if needed > config.model.local_positions:
            raise InputError(f"model.local_positions: {config.model.local_positions}, but {task.name} needs {needed}")
        check_prompt(config.evaluation, spec, tokens.encoding)


def check_prompt(evaluation: EvaluationConfig, spec: TaskSpec, encoding: Encoding) -> None:
    """Checks that a prompt, if any is configured, has room for a step.

    Args:
        evaluation: the configuration's section.
        spec: layout of the task.
        encoding: of observations and actions.

    Raises:
        InputError: if it has no room.
    """
    step = min_step_tokens(spec, encoding)
    if 0 < evaluation.prompt_tokens < step:
        raise InputError(
            f"evaluation.prompt_tokens: {evaluation.prompt_tokens} hold no step of {spec.name}: it takes {step}"
        )
