"""Environments of users and other packages: what is accepted, and what is refused in one line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from actors.experts.random_policy import RandomPolicy
from actors.experts.registry import make_expert
from actors.rollout import episodes
from gato_dist.envs.gymnasium_vector import GymnasiumVector, gymnasium_spec
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.envs.spaces import action_spec
from gato_dist.episode import Episode, Provenance
from gato_dist.errors import InputError, InvalidStepError
from gato_dist.specs import Modality
from gato_dist.tasks import task_table

COMMAND = Path(sys.executable).parent / "gato-dist"
NUMBERS = spaces.Box(-1.0, 1.0, (3,), np.float32)


class Scripted(gymnasium.Env):
    """Returns what it was given: `seen`, `rewards` and `infos`, by the step's number."""

    opened = 0

    def __init__(self, observation_space: Any = NUMBERS, length: int = 5, **given: dict[int, Any]) -> None:
        self.observation_space, self.action_space = observation_space, spaces.Discrete(2)
        self._length, self._given, self._t = length, given, 0
        Scripted.opened += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._seen(), self._of("infos", {})

    def step(self, action):
        self._t += 1
        return self._seen(), self._of("rewards", 1.0), self._t >= self._length, False, self._of("infos", {})

    def close(self):
        Scripted.opened -= 1

    def _of(self, kind: str, otherwise: Any) -> Any:
        return self._given.get(kind, {}).get(self._t, otherwise)

    def _seen(self) -> Any:
        return self._of("seen", first_value(self.observation_space))


def first_value(space: Any) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: first_value(each) for key, each in space.spaces.items()}
    return "go on" if isinstance(space, spaces.Text) else np.zeros(space.shape, space.dtype)


def played(*makers: Any, threads: int = 1) -> list[Episode]:
    """The first episode of each of these environments, by a random policy, in their order.

    threads: above 1, in processes; the makers must be the same then.
    """
    probe = makers[0]()
    spec, remaining = gymnasium_spec("gymnasium/toy", probe), list(makers)
    probe.close()
    make = makers[0] if threads > 1 else lambda: remaining.pop(0)()
    env = GymnasiumVector(make, spec, [*range(len(makers))], threads)
    try:
        policy = RandomPolicy(spec.action, env.seeds)
        found = list(
            episodes(env, policy, Provenance(task=spec.name, seed=0, policy="random", policy_hash=""), once=True)
        )
    finally:
        env.close()
    return sorted(found, key=lambda episode: episode.provenance.seed)


@pytest.mark.parametrize("length", [5, 40, 100])
def test_success_in_the_last_info_counts(length):
    for said in (False, np.False_, np.True_, True, 0.0, 1.0):
        (episode,) = played(lambda said=said: Scripted(length=length, infos={length: {"is_success": said}}))
        assert episode.success is bool(said)


def test_environments_of_one_vector_may_report_success_under_different_keys():
    told = [{2: {"success": True}}, {5: {"is_success": True}}, {}, {3: {"success": False}, 5: {"is_success": None}}]
    found = played(*(lambda infos=infos: Scripted(infos=infos) for infos in told))
    assert [episode.success for episode in found] == [True, True, False, False]


def test_a_success_that_is_not_a_number_is_refused():
    with pytest.raises(InvalidStepError, match=r"gymnasium/toy, info\['success'\]: must be True, False or a number"):
        played(lambda: Scripted(infos={2: {"success": "yes"}}))


BYTES, COUNT, WORDS = spaces.Box(0, 9, (2,), np.uint8), spaces.Discrete(3, start=1), spaces.Text(8)
WRONG = [
    (NUMBERS, {"rewards": {3: np.nan}}, "rewards, step 2: nan is not a finite number"),
    (NUMBERS, {"rewards": {1: None}}, "rewards, step 0: None is not a finite number"),
    (NUMBERS, {"seen": {2: np.full(3, np.inf)}}, "state, step 2: inf is not finite"),
    (NUMBERS, {"seen": {2: np.full(3, 1e300)}}, "state, step 2: inf is not finite"),
    (NUMBERS, {"seen": {0: np.zeros(4)}}, r"state, step 0: its shape is \(4,\), not \(3,\)"),
    (NUMBERS, {"seen": {1: np.array(["a"] * 3)}}, "state, step 1: <U1 instead of float32"),
    (BYTES, {"seen": {1: np.array([300, 1])}}, r"state, step 1: 300 lies outside \[0, 9\]"),
    (BYTES, {"seen": {1: np.array([1.5, 1])}}, "state, step 1: float64 instead of uint8"),
    (COUNT, {"seen": {0: 1, 4: 4}}, r"state, step 4: 4 lies outside \[1, 3\]"),
    (COUNT, {"seen": {0: 1, 1: 1, 2: None}}, "state, step 2: object instead of int64"),
    (spaces.MultiDiscrete([2, 9]), {"seen": {1: np.array([5, 5])}}, r"state, step 1: 5 lies outside \[0, 1\]"),
    (WORDS, {"seen": {2: "far too long"}}, "state, step 2: a text of 12 characters, the space holds 8"),
    (WORDS, {"seen": {2: 7}}, "state, step 2: int instead of a text"),
    (spaces.Text(8, charset="go n"), {"seen": {2: "go up"}}, "state, step 2: a text with 'p', which is not in"),
    (spaces.Dict({"a": COUNT, "b": NUMBERS}), {"seen": {0: {"a": 1}}}, "b, step 0: is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("space", "given", "says"), WRONG, ids=[says for *_, says in WRONG])
def test_an_invalid_value_is_refused_with_task_part_and_step(space, given, says):
    if space is COUNT:
        given = {"seen": dict.fromkeys(range(6), 1) | given["seen"]}
    with pytest.raises(InvalidStepError, match=f"^gymnasium/toy, {says}"):
        played(lambda: Scripted(space, **given))


def test_other_dtypes_and_lists_are_accepted():
    for value in (np.full(3, 7.5), np.zeros(3, np.float64), [0, 0.5, 1], np.ones(3, int)):
        (episode,) = played(lambda value=value: Scripted(seen=dict.fromkeys(range(6), value)))
        assert (episode.observations["state"] == np.asarray(value, np.float32)).all()
    (episode,) = played(lambda: Scripted(spaces.Text(20), seen={1: "go to the red ball"}))
    assert episode.observations["state"][1] == "go to the red ball"


def test_environments_in_processes_are_checked_without_a_traceback(capfd):
    space = spaces.Dict({"words": spaces.Text(20), "count": spaces.Discrete(3)})
    fine = played(*[lambda: Scripted(space)] * 2, threads=2)
    assert [len(episode) for episode in fine] == [5, 5]
    with pytest.raises(InvalidStepError, match="gymnasium/toy, rewards, step 2: nan"):
        played(*[lambda: Scripted(space, rewards={3: np.nan})] * 2, threads=2)
    assert "Traceback" not in capfd.readouterr().err


def test_all_environments_are_closed_if_one_cannot_be_made():
    before, made = Scripted.opened, []

    def make():
        made.append(1)
        if len(made) == 3:
            raise ValueError("no more")
        return Scripted()

    with pytest.raises(ValueError, match="no more"):
        GymnasiumVector(make, gymnasium_spec("gymnasium/toy", Scripted()), [0, 1, 2])
    assert Scripted.opened == before + 1  # the one whose spaces were asked


def test_random_actions_are_distributed_as_gymnasiums_samples():
    low, high = np.array([-np.inf, 2.0, -np.inf, -1.0]), np.array([np.inf, np.inf, 3.0, 1.0])
    box = spaces.Box(low, high, dtype=np.float64, seed=0)
    policy = RandomPolicy(action_spec(box), [0])
    ours = np.concatenate([policy.act({}, {}, np.ones(1, bool)) for _ in range(4000)])
    theirs = np.stack([box.sample() for _ in range(4000)])
    assert (ours >= low).all()
    assert (ours <= high).all()
    assert np.allclose(ours.mean(0), theirs.mean(0), atol=0.1)
    assert np.allclose(ours.std(0), theirs.std(0), atol=0.1)


MINE = """
import gymnasium
import numpy as np

class Needy(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}
    opened = []

    def __init__(self, size, render_mode=None):
        self.size, self.render_mode = size, render_mode
        self.opened.append(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), float(self.size), True, False, {}

    def render(self):
        return np.full((16, 16, 3), self.size, np.uint8)

    def close(self):
        self.opened.remove(self)

gymnasium.register("Needy-v0", Needy)
gymnasium.register("there/Needy-v0", Needy)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of a user's in the working directory; its name."""
    name = f"mine_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    task_table.cache_clear()
    yield name
    for env in ("Needy-v0", "there/Needy-v0"):
        gymnasium.registry.pop(env, None)
    sys.modules.pop(name, None)
    task_table.cache_clear()


@pytest.mark.parametrize("env", ["Needy-v0", "there/Needy-v0", "Needy"])
def test_an_environment_that_needs_its_options_is_made_with_them_and_closed(mine, tmp_path, env):
    (tmp_path / "gato_tasks").mkdir()
    line = f"  one: {{env: '{mine}:{env}', options: {{size: 7}}}}"
    (tmp_path / "gato_tasks/own.yaml").write_text(f"family: gymnasium\ntasks:\n{line}\n")
    made = make_expert("own/one", [0, 1], kind="random")
    found = list(episodes(made.env, made.policy, made.provenance(), once=True))
    assert [episode.episode_return for episode in found] == [7.0, 7.0]
    if "-v0" in env:
        assert (made.env.render(0) == 7).all()
    made.env.close()
    with pytest.raises(InputError, match="callable expert: module nothing is not here"):
        make_expert("own/one", [0], kind="callable", options={"policy": "nothing:here"})
    assert sys.modules[mine].Needy.opened == []


def test_packages_are_imported_for_well_known_ids():
    pong = task_spec("gymnasium/ALE/Pong-v5")
    assert (pong.observations[0].modality, pong.observations[0].shape) == (Modality.IMAGE, (224, 160, 3))
    env = make_env("gymnasium/MiniGrid-Empty-5x5-v0", [0])
    try:
        seen = env.reset().observations
    finally:
        env.close()
    assert seen["mission"] == ["get to the green goal square"]
    assert seen["image"].shape == (1, 7, 7, 3)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ("Nothing-v0", "gymnasium/MODULE:ID"),
        ("there/Nothing-v0", "gymnasium/MODULE:ID"),
        ("MiniWorld-Hallway-v0", "pip install 'miniworld'"),
        ("gymnasium:Nothing-v0", "gymnasium has no 'Nothing-v0', and registers no environment of this id"),
    ],
)
def test_an_unknown_id_is_refused_with_advice(env, says):
    with pytest.raises(InputError, match=says):
        task_spec(f"gymnasium/{env}")


def test_a_failed_collection_prints_one_line_and_writes_no_episode(tmp_path):
    (tmp_path / "bad.py").write_text(
        MINE.replace("float(self.size)", "float('nan')").replace("size, render_mode=None", "size=1, render_mode=None")
    )
    words = ["collect", "--tasks", "gymnasium/bad:Needy", "--policy", "random", "--episodes", "2", "--out", "D"]
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert done.returncode == 2
    assert "gymnasium/bad:Needy, rewards, step 0: nan" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("D/*/*.parquet"))


def test_a_module_that_cannot_be_imported_is_refused_in_one_line(tmp_path):
    (tmp_path / "torn.py").write_text("def make(:\n")
    words = ["tasks", "gymnasium/torn:make"]
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert "torn cannot be imported: SyntaxError" in done.stdout
