"""A planner for ALE games: an expert that looks ahead in a second emulator instead of being trained.

envpool cannot be cloned, but ALE without sticky actions is deterministic: a *shadow* emulator (`ale_py`, the same ROM)
that starts where envpool started and repeats its actions is in the same state for ever, and it can be cloned. Every
call compares the shadow's 128 bytes of RAM with the ones envpool reports.

The search asks of every action: what if I held it from here on? All held actions advance together, one decision deeper
at a time, until one of them scores; that one is then held until it has scored, and everything is asked again. (Rollouts
of base policies: Bertsekas, Tsitsiklis and Wu 1997; action persistence: Metelli et al. 2020, arXiv 2002.06836.)
Rollout IW(1) with RAM novelty (Bandres, Bonet and Geffner 2018, arXiv 1801.03354) scores as well, but which sampled
branch comes first is chance. Holding halves the simulation and predicts better from frames, though not well enough yet:
a small CNN cloned from 19,000 frames of Boxing reached less than a tenth of the planner's score. Do not take this
expert's score for what a clone of it will reach.

Where every held action is fatal, random pairs of them are tried, until one is not.

Where nothing scores, `wander` is how often a random one of the equally good actions is held instead of the first. It
ends standstills and lets episodes differ: envpool begins each after 1 to 30 no-op frames, so that there are no more
than 30 beginnings, and a game out of danger has no other chance in it. Random numbers come from the seed alone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.experts.planners.ale_emulator import FRAME_SKIP, AleEmulator, GameState
from actors.experts.planners.ale_search import escape, search
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy


@dataclasses.dataclass
class _Episode:
    """One environment's episode: its own random numbers, where the shadow is, the last action and those to come."""

    random: np.random.Generator
    state: GameState | None = None
    action: int = 0
    plan: list[int] = dataclasses.field(default_factory=list)


class AlePlanner(Policy):
    """Plans for N envpool environments of one ALE game, one after the other; see the module for how.

    game: envpool's name without the suffix. actions: those considered, in order of preference among equals; None: all
    of the minimal action set. nodes, discount, horizon: as in `search`. wander: the probability that, where
    nothing scores, a random one of the equals is held. escapes: pairs of held actions tried where every single one is
    fatal (`escape`). With both 0 an episode is a function of its start alone.
    The environments need envpool's defaults: frame_skip=4, repeat_action_probability=0, full_action_space=False,
    use_fire_reset=True, episodic_life=False (`check_options`); what they show does not matter, since only `info['ram']`
    is read.
    Raises what AleEmulator raises, and ValueError for parameters out of range.
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
        self._begun = [0] * num_envs
        self._episodes = [self._begin(env) for env in range(num_envs)]

    def reset(self, env_ids: np.ndarray) -> None:
        """These environments (ints [K]) begin a new episode at the next `act`."""
        for env in env_ids:
            self._episodes[env] = self._begin(int(env))

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Actions int64 [N]; reads info['ram'], uint8 [N, 128]. Sequences not `active` (bool [N]) keep their last.

        Raises ShadowMismatch where an environment is not where the shadow emulator is.
        """
        for env in np.flatnonzero(active):
            episode = self._episodes[env]
            self._synchronise(episode, info["ram"][env])
            if not episode.plan:
                episode.plan = self._plan(episode.state, episode.random)
            episode.action = episode.plan.pop(0)
        return np.array([episode.action for episode in self._episodes], np.int64)

    def played(self, actions: np.ndarray) -> None:
        """What was done, int [N], in place of what `act` returned. RAM alone does not always tell: Pong's paddle has
        a position of its own in the emulator, so an action guessed from RAM may lead astray later."""
        for episode, action in zip(self._episodes, actions, strict=True):
            if action != episode.action:
                episode.action, episode.plan = int(action), []

    def describe(self) -> dict[str, Any]:
        """Everything that decides the behaviour; JSON types."""
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
        self._begun[env] += 1
        return _Episode(np.random.default_rng([self._seed, env, self._begun[env]]))

    def _synchronise(self, episode: _Episode, ram: np.ndarray) -> None:
        """Brings the shadow to the state that `ram` shows; a plan dies with the first action that was not its own."""
        if episode.state is None:
            episode.state = self._emulator.start(ram)
            return
        episode.state, obeyed = self._emulator.follow(episode.state, episode.action, ram)
        if not obeyed:
            episode.plan = []

    def _plan(self, state: GameState, random: np.random.Generator) -> list[int]:
        """The actions to play next, at least one."""
        found = search(self._emulator, state, self._candidates, self._nodes, self._discount, self._horizon)
        if found.lost and (
            way_out := escape(self._emulator, state, self._candidates, random, self._escapes, found.depth)
        ):
            return way_out
        action = found.action
        if found.value == 0.0 and random.random() < self._wander:
            action = int(random.choice(found.equals))
        return [action] * found.hold
