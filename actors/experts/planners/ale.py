"""A planner for ALE games: an expert that searches in a second emulator instead of being trained.

envpool cannot be cloned, but ALE without sticky actions is deterministic. A *shadow* emulator (`ale_py`, same ROM) that
starts in envpool's state and repeats its actions stays in the same state, and it can be cloned. Every call compares the
shadow's 128 bytes of RAM with those that envpool reports.

The search simulates every action as if it were held from now on. All held actions advance together, one decision at a
time, until one of them scores. That action is held until it has scored; then the search starts again. (Rollouts of base
policies: Bertsekas, Tsitsiklis and Wu 1997; action persistence: Metelli et al. 2020, arXiv 2002.06836.) If every held
action is fatal, the planner tries random pairs of held actions.

If nothing scores, the planner holds, with probability `wander`, a random action among the equally good ones instead of
the first. This ends standstills, and makes episodes differ: envpool begins episodes after 1 to 30 no-op frames, so that
there are at most 30 starts, and nothing else in a game is random. Random numbers depend on the seed alone.

Rollout IW(1) with RAM novelty (Bandres, Bonet and Geffner 2018, arXiv 1801.03354) scores as well, but its choice among
sampled branches is random. Held actions need half the simulation and are easier to predict from frames, though still
hard: a small CNN cloned from 19,000 frames of Boxing reached less than a tenth of the planner's score. This expert's
score does not tell what a clone of it will reach.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.experts.planners.ale_emulator import FRAME_SKIP, AleEmulator, GameState
from actors.experts.planners.ale_search import escape, search
from gato_dist.episode import Observations
from gato_dist.ports import Array, Info, Policy


@dataclasses.dataclass
class _Episode:
    """The planner's state in one environment.

    Attributes:
        random: random numbers of this episode.
        state: the shadow emulator's state; None before the first step.
        action: the last action.
        plan: the next actions.
    """

    random: np.random.Generator
    state: GameState | None = None
    action: int = 0
    plan: list[int] = dataclasses.field(default_factory=list)


class AlePlanner(Policy):
    """Plans for N envpool environments of one ALE game, one after the other; the module's docstring says how.

    The environments must have envpool's defaults for everything that changes the game (`check_options`). Their
    observations do not matter, since only `info["ram"]` is read.
    """

    def __init__(
        self,
        game: str,
        num_envs: int,
        seed: int,
        nodes: int = 300,
        discount: float = 0.95,
        horizon: int = 30,
        actions: Sequence[int] | None = None,
        wander: float = 0.15,
        escapes: int = 20,
    ) -> None:
        """Loads the game. If `wander` and `escapes` are 0, an episode is a function of its start alone.

        Args:
            game: envpool's name, such as `Pong-v5`.
            num_envs: number of environments, N.
            seed: of all random numbers.
            nodes: simulated decisions per search, as in `search`.
            discount: of scores per decision, as in `search`.
            horizon: decisions of lookahead, as in `search`.
            actions: actions to consider, the preferred ones first; None for the minimal action set.
            wander: probability that, if nothing scores, a random one of the equally good actions is held.
            escapes: pairs of held actions to try if every single one is fatal, as in `escape`.

        Raises:
            ImportError: if ale_py is missing.
            ValueError: if a parameter is out of range, or ale_py does not have the game.
        """
        if nodes < 1 or horizon < 1 or escapes < 0 or not 0.0 < discount <= 1.0 or not 0.0 <= wander <= 1.0:
            raise ValueError(
                f"nodes {nodes} and horizon {horizon} must be at least 1, escapes {escapes} at least 0, "
                f"discount {discount} in (0, 1], wander {wander} in [0, 1]"
            )
        self._emulator = AleEmulator(game.removesuffix("-v5"))
        self._candidates = list(range(self._emulator.num_actions)) if actions is None else list(actions)
        if not self._candidates or not set(self._candidates) <= set(range(self._emulator.num_actions)):
            raise ValueError(f"actions {actions}: {game} has the actions 0 to {self._emulator.num_actions - 1}")
        self._game, self._seed = game.removesuffix("-v5"), seed
        self._nodes, self._discount, self._horizon, self._wander = nodes, discount, horizon, wander
        self._escapes = escapes
        self._episodes_begun = [0] * num_envs
        self._episodes = [self._begin(env) for env in range(num_envs)]

    def reset(self, env_ids: Array) -> None:
        """Begins a new episode in these environments, int [M], at the next `act`."""
        for env in env_ids:
            self._episodes[env] = self._begin(int(env))

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns actions, int64 [N]. It reads `info["ram"]`, uint8 [N, 128]; inactive environments keep their action.

        Raises:
            ShadowMismatch: if an environment is not in the shadow emulator's state.
        """
        for env in np.flatnonzero(active):
            episode = self._episodes[env]
            self._synchronise(episode, info["ram"][env])
            if not episode.plan:
                episode.plan = self._plan(episode.state, episode.random)
            episode.action = episode.plan.pop(0)
        return np.array([episode.action for episode in self._episodes], np.int64)

    def played(self, actions: Array) -> None:
        """Announces the actions, int [N], that were taken.

        The actions cannot always be inferred from RAM: Pong's paddle has a position in the emulator that RAM does not
        show, so that a wrong guess would appear only later.
        """
        for episode, action in zip(self._episodes, actions, strict=True):
            if action != episode.action:
                episode.action, episode.plan = int(action), []

    def describe(self) -> dict[str, Any]:
        """Returns everything that decides the behaviour, as JSON types."""
        return {
            "name": f"ale-persistence/{self._game}",
            "kind": "planner",
            "nodes": self._nodes,
            "discount": self._discount,
            "horizon": self._horizon,
            "actions": self._candidates,
            "wander": self._wander,
            "escapes": self._escapes,
            "seed": self._seed,
            "frame_skip": FRAME_SKIP,
        }

    def _begin(self, env: int) -> _Episode:
        self._episodes_begun[env] += 1
        return _Episode(np.random.default_rng([self._seed, env, self._episodes_begun[env]]))

    def _synchronise(self, episode: _Episode, ram: Array) -> None:
        """Brings the shadow to the state of `ram`, and drops the plan if another action was taken."""
        if episode.state is None:
            episode.state = self._emulator.start(ram)
            return
        episode.state, obeyed = self._emulator.follow(episode.state, episode.action, ram)
        if not obeyed:
            episode.plan = []

    def _plan(self, state: GameState, random: np.random.Generator) -> list[int]:
        """Returns the next actions, at least one."""
        found = search(
            self._emulator, state, self._candidates, nodes=self._nodes, discount=self._discount, horizon=self._horizon
        )
        if found.lost and (
            way_out := escape(
                self._emulator, state, self._candidates, random, attempts=self._escapes, horizon=found.depth
            )
        ):
            return way_out
        action = found.action
        if found.value == 0.0 and random.random() < self._wander:
            action = int(random.choice(found.equals))
        return [action] * found.hold
