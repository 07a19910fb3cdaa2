"""BabyAI's bot (Chevalier-Boisvert et al. 2019, arXiv 1810.08272), which plans from the environment's full state."""

import contextlib
import io
from typing import Any

import numpy as np

from gato_dist.envs.minigrid_vector import MinigridVector
from gato_dist.episode import Observations
from gato_dist.ports import Array, Info, Policy

MAX_SEARCHES = 1000  # path searches for one action


class EndlessReplanning(RuntimeError):
    """The bot switches between plans forever without choosing an action."""


def _make_bot(env: Any) -> Any:
    from minigrid.utils.baby_ai_bot import BabyAIBot

    class PatientBot(BabyAIBot):
        """Raises EndlessReplanning if the bot would search forever, as it does in a rare level with locked doors."""

        def replan(self, action_taken: Any = None) -> Any:
            self._searches = 0
            return super().replan(action_taken)

        def _shortest_path(self, *arguments: Any, **options: Any) -> Any:
            self._searches += 1
            if self._searches > MAX_SEARCHES:
                raise EndlessReplanning
            return super()._shortest_path(*arguments, **options)

    return PatientBot(env)


class BabyAIBotExpert(Policy):
    """Runs one bot per environment.

    Args:
        env: the environments.
    """

    def __init__(self, env: MinigridVector) -> None:
        self._env = env
        self._bots: list[Any] = [None] * len(env.envs)
        self._last: list[Any] = [None] * len(env.envs)
        self._lost: set[int] = set()

    def reset(self, env_ids: Array) -> None:
        self._lost.difference_update(env_ids.tolist())
        for i in env_ids:
            self._bots[i], self._last[i] = _make_bot(self._env.envs[i]), None

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns the bots' actions, int64 [N]. Bots read the environments, not the observations."""
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            self._last[i] = self._replan(i)
            actions[i] = int(self._last[i])
        return actions

    def _replan(self, i: int) -> Any:
        """Returns a bot's next action; `done`, which does nothing, if the bot failed in this episode."""
        if i in self._lost:
            return self._env.envs[i].actions.done
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return self._bots[i].replan(self._last[i])
        except (AssertionError, EndlessReplanning):
            # The bot's assertions fail in rare levels.
            self._lost.add(i)
            return self._env.envs[i].actions.done

    def lost(self) -> Array:
        """Environments whose bot has lost its way since the last reset: bool [N]."""
        return np.isin(np.arange(len(self._bots)), list(self._lost))

    def played(self, actions: Array) -> None:
        """Announces the actions, [N], that were taken. The bots plan on from there."""
        for i, action in enumerate(actions):
            if self._last[i] is not None:
                self._last[i] = self._env.envs[i].actions(int(action))

    def label(self, observations: Observations, active: Array) -> Array:
        """Returns the bots' actions while another policy acts, int64 [N].

        Call `played` after every step and `reset` for every new episode: the bots follow the environments by them.
        """
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"name": "minigrid BabyAIBot", "kind": "bot", "minigrid": version("minigrid")}
