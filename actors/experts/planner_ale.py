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

Where nothing scores, `wander` is how often a random one of the equally good actions is held instead of the first. It
ends standstills and lets episodes differ, for nothing else is random: envpool begins each after 1 to 30 no-op frames,
so that there are no more than 30 beginnings, and without it as many games.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import ale_py

FRAME_SKIP = 4  # emulator frames a decision lasts, envpool's default
MAX_START_FRAMES = 60  # envpool's noop_max is 30 frames; twice that also covers a user's larger value
LEAD = 3  # decisions an action that scores nothing is held before looking again: a fifth of a second


class ShadowMismatch(RuntimeError):
    """The shadow emulator is not where envpool is: the environment's settings differ from the planner's."""


class Emulator(Protocol):
    """What the search needs of a game; states are opaque to it."""

    def step(self, state: Any, action: int) -> tuple[Any, float, bool]:
        """One decision: the next state, the score it brought (points) and whether it was fatal."""
        ...


@dataclasses.dataclass(frozen=True)
class Decision:
    """The action found, how many decisions to hold it, its discounted score (points), and the decisions simulated.

    equals: the actions that are as good, itself included.
    """

    action: int
    hold: int
    value: float
    nodes: int
    equals: tuple[int, ...]


@dataclasses.dataclass
class _Held:
    """One action held: the state it has led to, its discounted score so far, and whether it still goes on."""

    action: int
    state: Any
    value: float = 0.0
    lost: bool = False

    @property
    def rank(self) -> tuple[bool, float]:
        """Survival before score, whatever the game's points are worth."""
        return (not self.lost, self.value)


def search(
    emulator: Emulator, state: Any, actions: Sequence[int], nodes: int, discount: float, horizon: int
) -> Decision:
    """The action whose persistence scores soonest and most; the first of equals in `actions`, so put NOOP (0) first.

    nodes: at most so many simulated decisions, but always one for each action. discount: in (0, 1], by decision.
    horizon: decisions looked ahead. A held action that turns out fatal goes no further and ranks last.
    What does not score is held for LEAD decisions at most, and for one where every action is fatal.
    """
    lines = [_Held(action, state) for action in actions]
    alive, used, depth = lines, 0, 0
    while alive and depth < horizon and (depth == 0 or used + len(alive) <= nodes):
        for line in alive:
            line.state, reward, line.lost = emulator.step(line.state, line.action)
            line.value += discount**depth * reward
        used, depth = used + len(alive), depth + 1
        alive = [line for line in alive if not line.lost]
        if any(line.value > 0.0 for line in alive):
            break
    best = max(lines, key=lambda line: line.rank)  # max() keeps the first of equals
    hold = 1 if best.lost else depth if best.value > 0.0 else min(depth, LEAD)
    equals = tuple(line.action for line in lines if line.rank == best.rank)
    return Decision(best.action, hold, best.value, used, equals)


@dataclasses.dataclass(frozen=True)
class GameState:
    """A point of a game: the emulator's own snapshot, its RAM (128 bytes) and the lives left."""

    snapshot: "ale_py.ALEState"
    ram: bytes
    lives: int


class AleEmulator:
    """One `ale_py` emulator that visits as many games as wanted: a state goes in, its successor comes out.

    game: envpool's name without the suffix (`SpaceInvaders`). Actions index the minimal action set, as in envpool.
    Raises ImportError where ale_py is not installed, ValueError where it has no such game.
    """

    def __init__(self, game: str) -> None:
        ale_py, rom_path = _load_ale(game)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._game = game
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(rom_path)
        self._actions = list(self._ale.getMinimalActionSet())
        self._noop, self._fire = ale_py.Action.NOOP, ale_py.Action.FIRE
        self.num_actions = len(self._actions)
        self._starts = self._find_starts()

    def start(self, ram: np.ndarray) -> GameState:
        """The start of an episode whose first `info['ram']` is `ram`, uint8 [128]; raises ShadowMismatch if none is."""
        state = self._starts.get(ram.tobytes())
        if state is None:
            raise ShadowMismatch(
                f"{self._game}: no start within {MAX_START_FRAMES} no-op frames has the RAM that envpool reports; "
                "was reset() called at the episode's first step, and are mode and difficulty the defaults?"
            )
        return state

    def step(self, state: GameState, action: int) -> tuple[GameState, float, bool]:
        """One decision of four frames: the next state, the unclipped score (points), and whether a life was lost."""
        self._ale.restoreState(state.snapshot)
        reward = 0
        for _ in range(FRAME_SKIP):
            reward += self._ale.act(self._actions[action])
            if self._ale.game_over():
                break
        successor = self._capture()
        # The winning point ends a game too (Boxing's hundredth): an end is no loss if it scores.
        lost = successor.lives < state.lives or (self._ale.game_over() and reward <= 0)
        return successor, float(reward), lost

    def follow(self, state: GameState, action: int, ram: np.ndarray) -> tuple[GameState, bool]:
        """The successor of `state` whose RAM is `ram`, uint8 [128], and whether `action` led there; another may have.

        So the planner can label the states another policy visits. Raises ShadowMismatch where no action explains `ram`.
        """
        wanted = ram.tobytes()
        others = (other for other in range(self.num_actions) if other != action)
        for candidate in (action, *others):
            successor, _, _ = self.step(state, candidate)
            if successor.ram == wanted:
                return successor, candidate == action
        raise ShadowMismatch(
            f"{self._game}: envpool's RAM after action {action} is not the shadow emulator's, nor any other action's; "
            "the planner needs frame_skip=4, repeat_action_probability=0 and full_action_space=False, and every step"
        )

    def _find_starts(self) -> dict[bytes, GameState]:
        """Every state envpool may begin with, by its RAM: some no-op frames, then FIRE in the games that have it."""
        self._ale.reset_game()
        starts: dict[bytes, GameState] = {}
        fires = self._fire in self._actions
        for _ in range(MAX_START_FRAMES):
            here = self._capture()
            if fires:
                self._ale.act(self._fire)
                after = self._capture()
                starts.setdefault(after.ram, after)
                self._ale.restoreState(here.snapshot)
            else:
                starts.setdefault(here.ram, here)
            self._ale.act(self._noop)
        return starts

    def _capture(self) -> GameState:
        return GameState(self._ale.cloneState(), self._ale.getRAM().tobytes(), self._ale.lives())


@dataclasses.dataclass
class _Episode:
    """One environment's episode: its own random numbers, where the shadow is, the last action and those to come."""

    random: np.random.Generator
    state: GameState | None = None
    action: int = 0
    plan: list[int] = dataclasses.field(default_factory=list)


class AlePlanner:
    """Plans for N envpool environments of one ALE game, one after the other; see the module for how.

    game: envpool's name without the suffix. actions: those considered, in order of preference among equals; None: all
    of the minimal action set. nodes, discount, horizon: as in `search`. wander: the probability that, where
    nothing scores, a random one of the equals is held; 0 makes an episode a function of its start alone.
    The environments need envpool's defaults: frame_skip=4, repeat_action_probability=0, full_action_space=False,
    use_fire_reset=True; what they show does not matter, since only `info['ram']` is read.
    Raises what AleEmulator raises, and ValueError for parameters out of range.
    """

    def __init__(
        self,
        game: str,
        num_envs: int,
        seed: int,
        nodes: int = 150,
        discount: float = 0.95,
        horizon: int = 12,
        actions: Sequence[int] | None = None,
        wander: float = 0.15,
    ) -> None:
        if nodes < 1 or horizon < 1 or not 0.0 < discount <= 1.0 or not 0.0 <= wander <= 1.0:
            raise ValueError(
                f"nodes {nodes} and horizon {horizon} must be at least 1, discount {discount} in (0, 1], "
                f"wander {wander} in [0, 1]"
            )
        self._emulator = AleEmulator(game.removesuffix("-v5"))
        self._candidates = list(range(self._emulator.num_actions)) if actions is None else list(actions)
        if not self._candidates or not set(self._candidates) <= set(range(self._emulator.num_actions)):
            raise ValueError(f"actions {actions}: {game} has the actions 0 to {self._emulator.num_actions - 1}")
        self._game, self._seed = game.removesuffix("-v5"), seed
        self._nodes, self._discount, self._horizon, self._wander = nodes, discount, horizon, wander
        self._begun = [0] * num_envs
        self._episodes = [self._begin(env) for env in range(num_envs)]

    def reset(self, env_ids: np.ndarray) -> None:
        """These environments (ints [K]) begin a new episode at the next `act`."""
        for env in env_ids:
            self._episodes[env] = self._begin(int(env))

    def act(
        self, observations: Mapping[str, np.ndarray], info: Mapping[str, np.ndarray], active: np.ndarray
    ) -> np.ndarray:
        """Actions int64 [N]; reads info['ram'], uint8 [N, 128]. Rows not `active` (bool [N]) keep their last.

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
        action = found.action
        if found.value == 0.0 and random.random() < self._wander:
            action = int(random.choice(found.equals))
        return [action] * found.hold


def _load_ale(game: str) -> tuple[Any, Any]:
    """The ale_py module and the path of the game's ROM."""
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise ImportError("the ALE planner needs ale_py: pip install 'gato-dist[suites]'") from error
    # `TicTacToe3d` is tic_tac_toe_3d and `Pitfall2` is pitfall2: only the letters are common to both spellings.
    for rom in roms.get_all_rom_ids():
        if rom.replace("_", "") == game.lower():
            return ale_py, roms.get_rom_path(rom)
    raise ValueError(f"ale_py has no ROM for {game!r}; expected an envpool name without '-v5', such as 'SpaceInvaders'")
