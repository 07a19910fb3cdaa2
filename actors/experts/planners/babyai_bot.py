"""BabyAI's bot (Chevalier-Boisvert et al., 2019): plans from the full state of minigrid's Python environment."""

import contextlib
import io
from typing import Any

import numpy as np

from gato_dist.envs.minigrid_vector import MinigridVector
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

SEARCHES = 1000  # of a way, before one action


class EndlessReplanning(RuntimeError):
    """The bot goes from one plan to another and back without choosing an action."""


def _make_bot(env: Any) -> Any:
    from minigrid.utils.baby_ai_bot import BabyAIBot

    class PatientBot(BabyAIBot):
        """Raises EndlessReplanning if the bot would search forever, as it does in a rare level with locked doors."""

        def replan(self, action_taken: Any = None) -> Any:
            self._searches = 0
            return super().replan(action_taken)

        def _shortest_path(self, *arguments: Any, **options: Any) -> Any:
            self._searches += 1
            if self._searches > SEARCHES:
                raise EndlessReplanning
            return super()._shortest_path(*arguments, **options)

    return PatientBot(env)


class BabyAIBotExpert(Policy):
    """One bot per environment of a `MinigridVector`."""

    def __init__(self, env: MinigridVector) -> None:
        self._env = env
        self._bots: list[Any] = [None] * len(env.envs)
        self._last: list[Any] = [None] * len(env.envs)
        self._lost: set[int] = set()

    def reset(self, env_ids: np.ndarray) -> None:
        self._lost.difference_update(env_ids.tolist())
        for i in env_ids:
            self._bots[i], self._last[i] = _make_bot(self._env.envs[i]), None

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """int64 [N]; the bot reads the environments, not the observations."""
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            self._last[i] = self._replan(i)
            actions[i] = int(self._last[i])
        return actions

    def _replan(self, i: int) -> Any:
        """The bot's next action; `done`, which does nothing, from where it has lost its way: that episode fails."""
        if i in self._lost:
            return self._env.envs[i].actions.done
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return self._bots[i].replan(self._last[i])
        except (AssertionError, EndlessReplanning):
            # It checks what it takes for granted by assertions, and a rare level breaks one.
            self._lost.add(i)
            return self._env.envs[i].actions.done

    def lost(self) -> np.ndarray:
        """Environments whose bot has lost its way since the last reset: bool [N]."""
        return np.isin(np.arange(len(self._bots)), list(self._lost))

    def played(self, actions: np.ndarray) -> None:
        """What was done [N] in place of what `act` returned: the bot plans on from there."""
        for i, action in enumerate(actions):
            if self._last[i] is not None:
                self._last[i] = self._env.envs[i].actions(int(action))

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """What the bot would do now in each of its environments, whoever acts there: int64 [N].

        Tell it every action with `played`, and every new episode with `reset`: it follows the environments by those.
        """
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"name": "minigrid BabyAIBot", "kind": "bot", "minigrid": version("minigrid")}
