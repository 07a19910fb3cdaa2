"""Procgen games whose states can be saved and loaded, from the `procgen-mirror` package."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gato_dist.envs.qt import load_qt5
from gato_dist.utils.missing_packages import INSTALL_CLONES, wheel_advice

_STATE_FUNCTIONS = ("int get_state(libenv_env *, int, char *, int);", "void set_state(libenv_env *, int, char *, int);")
_STATE_BYTES = 2**20  # the package's own limit of a state
MODES = {"Easy": 0, "Hard": 1}  # distribution_mode by the name that envpool's ids give it


class ProcgenClones:
    """Copies of one Procgen level whose states can be saved and loaded.

    The library is called through gym3's `CEnv`, since importing `procgen` needs the abandoned `gym` package.

    Args:
        game: Procgen's name, such as `coinrun`.
        num: number of copies.
        level_seed: the level.
        mode: a key of MODES.

    Raises:
        ImportError: if procgen, gym3 or Qt5 is missing. The message says how to install them.
    """

    def __init__(self, game: str, num: int, level_seed: int, mode: str = "Easy") -> None:
        load_qt5()
        package = importlib.util.find_spec("procgen")
        if package is None or package.origin is None or importlib.util.find_spec("gym3") is None:
            raise ImportError(
                f"the Procgen planner needs procgen-mirror and gym3: {wheel_advice((3, 12), INSTALL_CLONES)}"
            )
        from gym3.libenv import CEnv

        data = Path(package.origin).with_name("data")
        options = {
            "env_name": game, "num_levels": 1, "start_level": int(level_seed), "distribution_mode": MODES[mode],
            "rand_seed": 0, "num_actions": 15, "num_threads": 0, "debug_mode": 0,
            "resource_root": f"{data / 'assets'}/", "center_agent": True, "use_backgrounds": True,
            "use_sequential_levels": False, "render_human": False, "use_generated_assets": False,
            "use_monochrome_assets": False, "restrict_themes": False, "paint_vel_info": False,
        }  # fmt: skip
        self.num = num
        self._env = CEnv(num, str(data / "prebuilt"), c_func_defs=list(_STATE_FUNCTIONS), options=options)
        self._buffer = self._env._ffi.new("char[]", _STATE_BYTES)

    def save(self, row: int = 0) -> bytes:
        """Returns the state of one copy, including its random generator."""
        size = self._env.call_c_func("get_state", row, self._buffer, _STATE_BYTES)
        return bytes(self._env._ffi.buffer(self._buffer, size))

    def load(self, states: Sequence[bytes]) -> None:
        """Puts the first `len(states)` copies into these states; the others stay as they are."""
        for row, state in enumerate(states):
            self._env.call_c_func("set_state", row, state, len(state))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steps all copies. A copy that is done has begun the level again.

        Args:
            actions: int [num].

        Returns:
            Rewards, float32 [num], and done, bool [num].
        """
        self._env.act({"action": np.asarray(actions, np.int32)})
        return self._env.observe()[0::2]

    def frame(self, row: int = 0) -> np.ndarray:
        """Returns the current frame of one copy, uint8 [64, 64, 3]."""
        return self._env.observe()[1]["rgb"][row]

    def close(self) -> None:
        """Frees the copies."""
        self._env.close()
