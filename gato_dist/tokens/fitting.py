"""Whether tasks fit a configuration's sequences and model, and the tokenizer of those that do: live and from disk."""

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
    """The tokenizer of a run.

    Args:
        specs: layouts of the configuration's tasks, in its order.
        moments: of each task's continuous observations, by task and part.

    Raises:
        InputError: a task does not fit the configuration; names the key.
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
    """Checks windows, local positions and prompts. Text is not counted: its length is known only when it is seen.

    Raises:
        InputError: names the key, and the task that needs more.
    """
    tokens = config.tokens
    for task, spec in zip(config.tasks, specs, strict=True):
        window = min_step_tokens(spec, tokens.encoding) * max(task.window_steps, 1)
        if window > tokens.length:
            raise InputError(
                f"tokens.length: {tokens.length} is too short: a window of {task.name} takes {window} tokens"
            )
        # An action's numbers are counted anew, from 0.
        places = max(observation_tokens(spec, tokens.encoding) + 1, spec.action.size)
        if places > config.model.local_positions:
            raise InputError(f"model.local_positions: {config.model.local_positions}, but {task.name} needs {places}")
        check_prompt(config.evaluation, spec, tokens.encoding)


def check_prompt(evaluation: EvaluationConfig, spec: TaskSpec, encoding: Encoding) -> None:
    """Raises InputError if a prompt is wanted that holds no step of the task."""
    step = min_step_tokens(spec, encoding)
    if 0 < evaluation.prompt_tokens < step:
        raise InputError(
            f"evaluation.prompt_tokens: {evaluation.prompt_tokens} hold no step of {spec.name}: it takes {step}"
        )
