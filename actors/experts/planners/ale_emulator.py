"""The shadow of an envpool ALE game: an `ale_py` emulator whose states can be kept, returned to and compared by RAM."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import ale_py

FRAME_SKIP = 4  # emulator frames a decision lasts, envpool's default
MAX_START_FRAMES = 60  # envpool's noop_max is 30 frames; twice that also covers a user's larger value
# What a shadow takes for granted of the environment's options; frames and limits of length do not matter to it.
REQUIRED = {
    "repeat_action_probability": 0.0,
    "frame_skip": FRAME_SKIP,
    "full_action_space": False,
    "use_fire_reset": True,
    "episodic_life": False,
}


class ShadowMismatch(RuntimeError):
    """The shadow emulator is not where envpool is: the environment's settings differ from the planner's."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raises ValueError that names an environment option which no shadow can follow, and its value that one can."""
    for name, value in REQUIRED.items():
        if options.get(name, value) != value:
            raise ValueError(
                f"environment option {name}={options[name]}: a shadow emulator can only follow {name}={value}; "
                "a trained expert has no such need"
            )


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
