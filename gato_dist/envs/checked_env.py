"""Holds one gymnasium environment to its own spaces, before a vector of them copies what it returns into a batch.

Copying is too late: there an integer beyond its type wraps around, and a wrong shape ends in an error that names no
part. What every suite is held to, such as finite numbers, is checked of whole batches (`gato_dist.value_checks`).
"""

from functools import reduce
from math import isfinite
from operator import getitem
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces.text import alphanumeric

from gato_dist.envs.spaces import is_text, named_leaves
from gato_dist.errors import PlayError

REMEMBERED = 4096  # texts that were found to be right


class CheckedEnv(gymnasium.Wrapper):
    """Raises PlayError, which names task, part and step, for an observation outside its space or a reward that is none.

    Floats may have another precision than the space's, and lie beyond its bounds: tokens clip them.
    """

    def __init__(self, env: Any, task: str) -> None:
        super().__init__(env)
        self._task, self._step = task, 0
        self._leaves = [(name, path, _Leaf(space)) for name, path, space in named_leaves(env.observation_space)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._step = 0
        return self._checked(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        try:
            fine = isfinite(reward)  # type: ignore[arg-type]
        except TypeError:
            fine = False
        if not fine:
            raise PlayError(f"{self._task}, rewards, step {self._step}: {reward!r} is no finite number")
        self._step += 1
        return self._checked(observation), float(reward), terminated, truncated, info

    def _checked(self, observation: Any) -> Any:
        for name, path, leaf in self._leaves:
            try:
                value = reduce(getitem, path, observation) if path else observation
            except (LookupError, TypeError):
                raise PlayError(f"{self._task}, {name}, step {self._step}: is missing") from None
            if why := leaf.fault(value):
                raise PlayError(f"{self._task}, {name}, step {self._step}: {why}")
        return observation


class _Leaf:
    """The check of one part."""

    def __init__(self, space: Any) -> None:
        self._space, self._known = space, set[str]()
        self.fault = self._text_fault if is_text(space) else self._array_fault
        if is_text(space):
            return
        self._shape, self._dtype = tuple(space.shape), space.dtype
        self._whole = space.dtype.kind in "biu"
        kind = type(space).__name__
        if kind == "Box":
            self._low, self._high = space.low, space.high
        else:
            count = space.n if kind == "Discrete" else space.nvec if kind == "MultiDiscrete" else 2
            self._low = np.broadcast_to(getattr(space, "start", 0), self._shape)
            self._high = self._low + np.asarray(count) - 1
        limits = np.iinfo(self._dtype) if self._dtype.kind in "iu" else None
        # A byte of a picture cannot lie outside 0 … 255: such a part costs a look at its type.
        self._any = not self._whole or bool(
            limits and (self._low == limits.min).all() and (self._high == limits.max).all()
        )

    def _array_fault(self, value: Any) -> str | None:
        exact = isinstance(value, np.ndarray) and value.dtype == self._dtype and value.shape == self._shape
        if exact and self._any:
            return None
        try:
            array = value if exact else np.asarray(value)
        except ValueError:
            return "is no array of numbers"
        if array.shape != self._shape:
            return f"its shape is {array.shape}, not {self._shape}"
        if array.dtype.kind not in ("biu" if self._whole else "biuf"):
            return f"{array.dtype} where {self._dtype} belongs"
        if self._whole:
            wrong = (array < self._low) | (array > self._high)
            if wrong.any():
                place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                return f"{array[place]} lies outside [{self._low[place]}, {self._high[place]}]"
        return None

    def _text_fault(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return f"{type(value).__name__} in place of a text"
        if value in self._known:
            return None
        most = getattr(self._space, "max_length", None)
        if most is not None and len(value) > most:
            return f"a text of {len(value)} characters, the space holds {most}"
        letters = getattr(self._space, "character_set", None)
        # The set that gymnasium takes by itself lacks even the space between two words: nobody means it.
        if letters is not None and letters != alphanumeric and (strange := set(value) - letters):
            return f"a text with {min(strange)!r}, which is not in the space's charset"
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(value)
        return None
