"""Gato as a policy."""

from typing import Any

import numpy as np

from gato_dist.config import EvaluationConfig
from gato_dist.episode import Observations
from gato_dist.model.decode import ActionDecoder
from gato_dist.model.gato import Gato
from gato_dist.ports import Info
from gato_dist.tokens.layout import TaskTokenizer


class GatoPolicy:
    """The `Policy` port over an `ActionDecoder`. One version of the weights, for as long as it lives."""

    def __init__(
        self,
        model: Gato,
        tokenizer: TaskTokenizer,
        window_steps: int,
        settings: EvaluationConfig,
        seeds: list[int],
        version: int,
    ) -> None:
        self._decoder = ActionDecoder(model, tokenizer, window_steps, settings.temperature, seeds)
        self._text = {
            "name": "gato",
            "kind": "gato",
            "weights_version": version,
            "temperature": settings.temperature,
        }

    def reset(self, env_ids: np.ndarray) -> None:
        self._decoder.reset(env_ids)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        return self._decoder.act(observations, active)

    def describe(self) -> dict[str, Any]:
        return self._text
