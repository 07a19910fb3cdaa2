"""Planners for Procgen: experts that search over clones of the game instead of being trained.

envpool's games cannot be cloned, so a shadow of each one, started from the level seed that envpool reports, follows it
in the `procgen-mirror` package, and clones of the shadow's state are searched. Two searches serve two kinds of game:

* `shoot`: tries every pair of held actions and plays the beginning of the best. For games of many rewards.
* `repair`: plays one default action and mends the plan before each death with a short deviation. For games with one
  reward, at the goal; one habit and its exceptions are easier to imitate than a search that is free to do anything.
"""

import dataclasses
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.envs.qt import load_qt5

LEFT, DOWN, STAY, UP, RIGHT, FIRE = 1, 3, 4, 5, 7, 9
LEFT_DOWN, LEFT_UP, RIGHT_DOWN, RIGHT_UP = 0, 2, 6, 8
_ALL_WAYS = (STAY, UP, DOWN, LEFT, RIGHT, LEFT_UP, LEFT_DOWN, RIGHT_UP, RIGHT_DOWN)
_STATE_FUNCTIONS = ("int get_state(libenv_env *, int, char *, int);", "void set_state(libenv_env *, int, char *, int);")
_STATE_BYTES = 2**20  # the package's own bound on a state
# Coinrun differs in at most 20 of 12,288 values by more than 16 levels (measured); a step out of phase in hundreds.
_ROUNDING = 16
_FORGIVEN = 0.005


class FrameMismatch(RuntimeError):
    """The shadow game no longer shows what the environment shows, so nothing planned on it would be true."""


@dataclasses.dataclass(frozen=True)
class Shooting:
    """Pairs of held actions: `actions` to choose from, steps the first is held for, and how far to look and commit.

    The order of `actions` decides ties, hence equal states get equal actions.
    """

    actions: tuple[int, ...]
    holds: tuple[int, ...]
    horizon: int
    commit: int
    discount: float = 0.99
    death_cost: float = 10.0


@dataclasses.dataclass(frozen=True)
class Repairing:
    """A `default` action and the deviations (action, steps, steps of progress lost) that may interrupt it.

    Deviations start within `window` steps before a death; plans end after `limit` steps or `repairs` deviations.
    """

    default: int
    deviations: tuple[tuple[int, int, int], ...]
    window: int
    limit: int
    repairs: int


GAMES: dict[str, Shooting | Repairing] = {
    "CoinrunEasy-v0": Repairing(
        default=RIGHT_UP,
        deviations=((RIGHT, 4, 0), (RIGHT, 8, 0), (STAY, 4, 4), (STAY, 10, 10), (UP, 6, 6), (LEFT, 6, 12)),
        window=10, limit=300, repairs=16,
    ),
    "BigfishEasy-v0": Shooting(_ALL_WAYS, holds=(6,), horizon=24, commit=3),
    "FruitbotEasy-v0": Shooting((STAY, LEFT, RIGHT, FIRE), holds=(3, 6, 12, 20), horizon=30, commit=3),
    "PlunderEasy-v0": Shooting((STAY, LEFT, RIGHT, FIRE), holds=(3, 8), horizon=30, commit=4),
    "StarpilotEasy-v0": Shooting((FIRE, *_ALL_WAYS[1:]), holds=(6, 12), horizon=24, commit=3),
}  # fmt: skip


class Clones:
    """`num` copies of one Procgen level (easy mode) whose states can be saved and loaded.

    The library is driven through gym3's `CEnv`: importing `procgen` itself needs the abandoned `gym` package.
    Raises ImportError, naming the extra, when procgen, gym3 or Qt5 is missing.
    """

    def __init__(self, game: str, num: int, level_seed: int) -> None:
        load_qt5()
        package = importlib.util.find_spec("procgen")
        if package is None or package.origin is None or importlib.util.find_spec("gym3") is None:
            raise ImportError("the Procgen planner needs procgen-mirror and gym3: pip install 'gato-dist[suites]'")
        from gym3.libenv import CEnv

        data = Path(package.origin).with_name("data")
        options = {
            "env_name": game, "num_levels": 1, "start_level": int(level_seed), "distribution_mode": 0, "rand_seed": 0,
            "num_actions": 15, "num_threads": 0, "debug_mode": 0, "resource_root": f"{data / 'assets'}/",
            "center_agent": True, "use_backgrounds": True, "use_sequential_levels": False, "render_human": False,
            "use_generated_assets": False, "use_monochrome_assets": False, "restrict_themes": False,
            "paint_vel_info": False,
        }  # fmt: skip
        self.num = num
        self._env = CEnv(num, str(data / "prebuilt"), c_func_defs=list(_STATE_FUNCTIONS), options=options)
        self._buffer = self._env._ffi.new("char[]", _STATE_BYTES)

    def save(self, row: int = 0) -> bytes:
        """The whole state of one copy, its random generator included."""
        size = self._env.call_c_func("get_state", row, self._buffer, _STATE_BYTES)
        return bytes(self._env._ffi.buffer(self._buffer, size))

    def load(self, states: Sequence[bytes]) -> None:
        """Puts the first len(states) copies into these states; the others stay as they are."""
        for row, state in enumerate(states):
            self._env.call_c_func("set_state", row, state, len(state))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions [num] -> rewards float32 [num], done bool [num]; a copy that is done has begun the level again."""
        self._env.act({"action": np.asarray(actions, np.int32)})
        return self._env.observe()[0::2]

    def frame(self, row: int = 0) -> np.ndarray:
        """What one copy shows now: uint8 [64, 64, 3]."""
        return self._env.observe()[1]["rgb"][row]

    def close(self) -> None:
        """Frees the copies."""
        self._env.close()


def held_pairs(search: Shooting) -> np.ndarray:
    """All plans of two held actions: int64 [K, horizon], in the order that decides ties."""
    choices = itertools.product(search.actions, search.holds, search.actions)
    return np.array([[first] * hold + [second] * (search.horizon - hold) for first, hold, second in choices], np.int64)


def shoot(clones: Clones, state: bytes, plans: np.ndarray, search: Shooting) -> np.ndarray:
    """The first `commit` actions [C] of the plan with the highest discounted return from `state`.

    plans: int64 [clones.num, H]. The end of an episode without a reward counts as a death.
    """
    clones.load([state] * clones.num)
    returns = np.zeros(clones.num)
    alive = np.ones(clones.num, bool)
    for step in range(search.horizon):
        rewards, done = clones.step(plans[:, step])
        died = done & (rewards <= 0)
        returns += alive * search.discount**step * (rewards - search.death_cost * died)
        alive &= ~done
    return plans[np.argmax(np.round(returns, 6)), : search.commit]


def play_out(clones: Clones, plans: np.ndarray, default: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Plays plans [num, H], then the default, from the loaded states -> (steps until the end [num], reached [num]).

    Copies that have not ended report limit and not reached: after `limit` steps, or twenty after the first goal.
    """
    ends = np.full(clones.num, limit)
    reached = np.zeros(clones.num, bool)
    alive = np.ones(clones.num, bool)
    stop = limit
    for step in range(limit):
        actions = plans[:, step] if step < plans.shape[1] else np.full(clones.num, default)
        rewards, done = clones.step(actions)
        ended = alive & done
        ends[ended] = step + 1
        reached |= ended & (rewards > 0)
        alive &= ~done
        stop = min(stop, step + 20) if reached.any() else stop
        if step >= stop or not alive.any():
            break
    return ends, reached


def snapshots(walker: Clones, state: bytes, plan: np.ndarray, since: int) -> list[bytes]:
    """The states before steps since, since + 1, ... len(plan) - 1 of a plan [T] played from `state`."""
    walker.load([state])
    states = []
    for step, action in enumerate(plan):
        if step >= since:
            states.append(walker.save())
        walker.step(np.full(1, action))
    return states


def repair(clones: Clones, walker: Clones, state: bytes, search: Repairing) -> np.ndarray:
    """A plan [T] from `state` to the goal, or to the latest death that `search` could put off.

    Each round plays every deviation from the window before the death. One is valued together with its neighbours in
    time, so that the one chosen also works a step early or late, as an imitator will play it.
    """
    walker.load([state])
    (end,), (reached,) = play_out(walker, np.empty((1, 0), np.int64), search.default, search.limit)
    plan = np.full(end, search.default)
    window = search.window
    for _ in range(search.repairs):
        if reached:
            break
        since = max(0, len(plan) - window)
        starts = np.linspace(since, len(plan) - 1, search.window).round().astype(int)
        values, lengths, goals = deviate(clones, walker, state, plan, starts, search)
        padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
        smooth = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        if goals.any():
            smooth = np.where(goals, smooth, -np.inf)
        at, kind = np.unravel_index(np.argmax(smooth), smooth.shape)
        if values[at, kind] <= len(plan) and not goals[at, kind]:
            window *= 2  # nothing so late helps: the mistake was made earlier
            continue
        action, steps, _ = search.deviations[kind]
        mended = np.full(lengths[at, kind], search.default)
        mended[: starts[at]] = plan[: starts[at]]
        mended[starts[at] : starts[at] + steps] = action
        plan, reached, window = mended, goals[at, kind], search.window
    return plan


def deviate(
    clones: Clones, walker: Clones, state: bytes, plan: np.ndarray, starts: np.ndarray, search: Repairing
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plays every deviation from every start [S] -> values [S, D], plan lengths [S, D], goals reached [S, D].

    clones must hold S * D copies. Before the goal a value is the step of death, less what the deviation itself costs.
    """
    states = snapshots(walker, state, plan, int(starts[0]))
    kinds = len(search.deviations)
    clones.load([states[start - starts[0]] for start in starts for _ in range(kinds)])
    actions = np.full((kinds, max(steps for _, steps, _ in search.deviations)), search.default)
    for row, (action, steps, _) in enumerate(search.deviations):
        actions[row, :steps] = action
    played = play_out(clones, np.tile(actions, (len(starts), 1)), search.default, search.limit)
    ends, goals = (part.reshape(len(starts), kinds) for part in played)
    lengths = np.minimum(ends + starts[:, None], search.limit)
    costs = np.array([cost for _, _, cost in search.deviations])
    stuck = ~goals & (ends >= search.limit)
    values = np.where(goals, 2.0 * search.limit - lengths, np.where(stuck, 0, lengths - costs))
    return values, lengths, goals


class ProcgenPlanner:
    """Plans for each of `num_envs` environments of one envpool Procgen game in easy mode; draws no random number.

    seed: taken so that all planners are made alike. budget: replaces fields of the game's own search.
    Raises ValueError for a game without a search, TypeError for a field that its search lacks, ImportError without
    procgen-mirror, gym3 or Qt5.
    """

    def __init__(self, game: str, num_envs: int, seed: int, **budget: Any) -> None:
        if game not in GAMES:
            raise ValueError(f"no Procgen planner for {game!r}; there is one for {', '.join(sorted(GAMES))}")
        self.name = game
        self.search = search = dataclasses.replace(GAMES[game], **budget)
        self._game = game.removesuffix("Easy-v0").lower()
        copies = len(held_pairs(search)) if isinstance(search, Shooting) else search.window * len(search.deviations)
        self._clones = Clones(self._game, copies, level_seed=0)
        self._walker = Clones(self._game, 1, level_seed=0)
        self._shadows: list[Clones | None] = [None] * num_envs
        self._plans: list[list[int]] = [[] for _ in range(num_envs)]
        self._played = np.full(num_envs, STAY, np.int64)

    def reset(self, env_ids: np.ndarray) -> None:
        """Forgets the shadows of env_ids [M], which begin a new episode at the next `act`."""
        for row in env_ids:
            if (shadow := self._shadows[row]) is not None:
                shadow.close()
            self._shadows[row], self._plans[row] = None, []

    def act(self, observations: Mapping[str, np.ndarray], info: Mapping[str, Any], active: np.ndarray) -> np.ndarray:
        """Actions int64 [N]; rows where `active` [N] is False are no-ops and cost nothing.

        observations: one uint8 image part [N, 64, 64, 3]; info: envpool's, of which `level_seed` [N] is read.
        The shadows play what was returned, unless `played` says otherwise. Raises FrameMismatch when a shadow shows
        another frame.
        """
        (frames,) = observations.values()
        actions = np.full(len(active), STAY, np.int64)
        for row in np.flatnonzero(active):
            level = int(info["level_seed"][row])
            shadow = self._shadows[row]
            if shadow is None:
                shadow = self._shadows[row] = Clones(self._game, 1, level)
            else:
                shadow.step(self._played[row : row + 1])
            self._check(row, level, frames[row], shadow.frame())
            if not self._plans[row]:
                self._plans[row] = self._search(shadow.save())
            actions[row] = self._plans[row].pop(0)
        self._played = actions.copy()
        return actions

    def played(self, actions: np.ndarray) -> None:
        """What was done [N] in place of what `act` returned; where it differs, a plan is made anew."""
        for row in np.flatnonzero(actions != self._played):
            self._plans[row] = []
        self._played = np.array(actions, np.int64)

    def describe(self) -> dict[str, Any]:
        """Name, kind and every parameter that shapes the behaviour, as plain values for a content hash."""
        parameters = {"search": type(self.search).__name__, **dataclasses.asdict(self.search)}
        return {"name": f"procgen_planner/{self.name}", "kind": "planner", "parameters": parameters}

    def _search(self, state: bytes) -> list[int]:
        if isinstance(self.search, Shooting):
            return shoot(self._clones, state, held_pairs(self.search), self.search).tolist()
        return repair(self._clones, self._walker, state, self.search).tolist()

    def _check(self, row: int, level: int, shown: np.ndarray, expected: np.ndarray) -> None:
        """Compares two uint8 frames, forgiving the few edge pixels that two builds of Qt draw apart in coinrun."""
        apart = np.abs(shown.astype(np.int16) - expected) > _ROUNDING
        if apart.mean() > _FORGIVEN:
            raise FrameMismatch(
                f"{self.name}, environment {row}, level {level}: {apart.sum()} of {apart.size} values differ from the "
                "shadow game; was every action played, and is a new episode announced by reset?"
            )
