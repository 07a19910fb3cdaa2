"""A shadow of an envpool ALE game: an `ale_py` emulator whose states can be saved, restored and compared by RAM."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gato_dist.ports import Array

if TYPE_CHECKING:
    import ale_py

FRAME_SKIP = 4  # emulator frames per decision, envpool's default
MAX_START_FRAMES = 60  # envpool's noop_max is 30 frames; twice as many also cover a user's larger value
# The environment's options that a shadow relies on. Options of frames and limits do not matter.
REQUIRED = {
    "repeat_action_probability": 0.0,
    "frame_skip": FRAME_SKIP,
    "full_action_space": False,
    "use_fire_reset": True,
    "episodic_life": False,
}


class ShadowMismatch(RuntimeError):
    """The shadow emulator is not in envpool's state: the environment's settings differ from the planner's."""


def check_options(options: Mapping[str, Any]) -> None:
    """Checks that a shadow emulator can follow an environment.

    Args:
        options: the environment's options.

    Raises:
        ValueError: if an option has another value than a shadow needs. The message names both.
    """
    for name, value in REQUIRED.items():
        if options.get(name, value) != value:
            raise ValueError(
                f"environment option {name}={options[name]}: a shadow emulator can only follow {name}={value}; "
                "a trained expert does not need it"
            )


@dataclasses.dataclass(frozen=True)
class GameState:
    """A state of the game: the emulator's snapshot, its RAM (128 bytes), and the lives left."""

    snapshot: "ale_py.ALEState"
    ram: bytes
    lives: int


class AleEmulator:
    """An `ale_py` emulator as a function from a state and an action to the next state.

    Actions are indices of the minimal action set, as in envpool.

    Args:
        game: envpool's name without the suffix, such as `SpaceInvaders`.

    Raises:
        ImportError: if ale_py is missing.
        ValueError: if ale_py does not have the game.
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

    def start(self, ram: Array) -> GameState:
        """Returns the first state of an episode.

        Args:
            ram: the first `info["ram"]` of the episode, uint8 [128].

        Raises:
            ShadowMismatch: if no episode starts with this RAM.
        """
        state = self._starts.get(ram.tobytes())
        if state is None:
            raise ShadowMismatch(
                f"{self._game}: no start within {MAX_START_FRAMES} no-op frames has the RAM that envpool reports; "
                "was reset() called at the episode's first step, and are mode and difficulty the defaults?"
            )
        return state

    def step(self, state: GameState, action: int) -> tuple[GameState, float, bool]:
        """Takes one decision of four frames: returns the next state, the points scored, and whether a life was lost."""
        self._ale.restoreState(state.snapshot)
        reward = 0
        for _ in range(FRAME_SKIP):
            reward += self._ale.act(self._actions[action])
            if self._ale.game_over():
                break
        successor = self._capture()
        # The winning point also ends a game, such as Boxing's hundredth: an end with a score is not a loss.
        lost = successor.lives < state.lives or (self._ale.game_over() and reward <= 0)
        return successor, float(reward), lost

    def follow(self, state: GameState, action: int, ram: Array) -> tuple[GameState, bool]:
        """Finds the successor of a state by its RAM.

        Args:
            state: the state before.
            action: the action that was probably taken. The others are tried too.
            ram: `info["ram"]` after the action, uint8 [128].

        Returns:
            The successor, and whether `action` led to it.

        Raises:
            ShadowMismatch: if no action leads to this RAM.
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
        """Returns envpool's possible first states by RAM: after some no-op frames, and FIRE in games that have it."""
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


def _load_ale(game: str) -> tuple[Any, Any]:
    """Returns the ale_py module and the path of the game's ROM."""
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise ImportError("the ALE planner needs ale_py: pip install 'gato-dist[suites]'") from error
    # `TicTacToe3d` is tic_tac_toe_3d, and `Pitfall2` is pitfall2: the names agree without underscores and case.
    for rom in roms.get_all_rom_ids():
        if rom.replace("_", "") == game.lower():
            return ale_py, roms.get_rom_path(rom)
    raise ValueError(f"ale_py has no ROM for {game!r}; expected an envpool name without '-v5', such as 'SpaceInvaders'")
