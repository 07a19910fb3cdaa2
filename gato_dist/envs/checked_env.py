"""Checks that a gymnasium environment keeps to its own spaces, before its values are copied into a batch.

In the batch it is too late: an integer too large for its type has wrapped around, and a wrong shape has raised an error
that names no part. `gato_dist.value_checks` checks batches for what holds in every suite, such as finite numbers.
"""

from functools import reduce
from math import isfinite
from operator import getitem
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces.text import alphanumeric

from gato_dist.envs.spaces import is_text, named_leaves
from gato_dist.errors import InvalidStepError

TEXT_CACHE_SIZE = 4096  # texts that passed the check


class CheckedEnv(gymnasium.Wrapper):
    """A wrapper that raises InvalidStepError for an observation outside its space, or a reward that is not finite.

    The message names task, part and step. Floats may have another precision than the space's, and may exceed its
    bounds, since tokens clip them.

    Args:
        env: the environment.
        task: the task's name, for messages.
    """

    def __init__(self, env: Any, task: str) -> None:
        super().__init__(env)
        self._task, self._step = task, 0
        self._leaves = [(name, path, _LeafCheck(space)) for name, path, space in named_leaves(env.observation_space)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._step = 0
        return self._checked(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not _is_finite(reward):
            raise InvalidStepError(f"{self._task}, rewards, step {self._step}: {reward!r} is not a finite number")
        self._step += 1
        return self._checked(observation), float(reward), terminated, truncated, info

    def _checked(self, observation: Any) -> Any:
        for name, path, leaf in self._leaves:
            try:
                value = reduce(getitem, path, observation) if path else observation
            except (LookupError, TypeError):
                raise InvalidStepError(f"{self._task}, {name}, step {self._step}: is missing") from None
            if fault := leaf.fault(value):
                raise InvalidStepError(f"{self._task}, {name}, step {self._step}: {fault}")
        return observation


def _is_finite(reward: Any) -> bool:
    try:
        return isfinite(reward)
    except TypeError:
        return False


class _LeafCheck:
    """Checks the values of one part of the observation."""

    def __init__(self, space: Any) -> None:
        self._space, self._valid_texts = space, set[str]()
        self.fault = self._text_fault if is_text(space) else self._array_fault
        if is_text(space):
            return
        self._shape, self._dtype = tuple(space.shape), space.dtype
        self._integers = space.dtype.kind in "biu"
        kind = type(space).__name__
        if kind == "Box":
            self._low, self._high = space.low, space.high
        else:
            count = space.n if kind == "Discrete" else space.nvec if kind == "MultiDiscrete" else 2
            self._low = np.broadcast_to(getattr(space, "start", 0), self._shape)
            self._high = self._low + np.asarray(count) - 1
        limits = np.iinfo(self._dtype) if self._dtype.kind in "iu" else None
        # If the range is that of the type, such as 0 … 255 of an image, then checking the type is enough.
        self._any_value_fits = not self._integers or bool(
            limits and (self._low == limits.min).all() and (self._high == limits.max).all()
        )

    def _array_fault(self, value: Any) -> str | None:
        exact = isinstance(value, np.ndarray) and value.dtype == self._dtype and value.shape == self._shape
        if exact and self._any_value_fits:
            return None
        try:
            array = value if exact else np.asarray(value)
        except ValueError:
            return "is not an array of numbers"
        if array.shape != self._shape:
            return f"its shape is {array.shape}, not {self._shape}"
        if array.dtype.kind not in ("biu" if self._integers else "biuf"):
            return f"{array.dtype} instead of {self._dtype}"
        if self._integers:
            wrong = (array < self._low) | (array > self._high)
            if wrong.any():
                index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                return f"{array[index]} lies outside [{self._low[index]}, {self._high[index]}]"
        return None

    def _text_fault(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return f"{type(value).__name__} instead of a text"
        if value in self._valid_texts:
            return None
        most = getattr(self._space, "max_length", None)
        if most is not None and len(value) > most:
            return f"a text of {len(value)} characters, the space holds {most}"
        letters = getattr(self._space, "character_set", None)
        # gymnasium's default character set lacks even the space, so it cannot be what the author meant.
        if letters is not None and letters != alphanumeric and (strange := set(value) - letters):
            return f"a text with {min(strange)!r}, which is not in the space's charset"
        if len(self._valid_texts) >= TEXT_CACHE_SIZE:
            self._valid_texts.clear()
        self._valid_texts.add(value)
        return None
