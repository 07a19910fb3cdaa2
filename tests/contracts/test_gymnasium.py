"""A user's own environment and expert, by name."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from gato_dist.envs.spaces import action_spec, first_action, observation_specs, read_observations
from gato_dist.errors import InputError
from gato_dist.specs import Modality
from gato_dist.utils.file_names import task_file_name

COMMAND = Path(sys.executable).parent / "gato-dist"
MINE = """
import gymnasium
import numpy as np

class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict({
        "at": gymnasium.spaces.Discrete(10, start=5),
        "nested": gymnasium.spaces.Dict({"wind": gymnasium.spaces.Box(-1.0, 1.0, (2,))}),
        "sign": gymnasium.spaces.Text(20),
    })
    action_space = gymnasium.spaces.Discrete(2, start=-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 5
        return self.see(), {}

    def step(self, action):
        assert action in (-1, 0)
        self.at += 1 if action == 0 else 0
        return self.see(), float(action == 0), self.at == 14, False, {"is_success": self.at == 14}

    def see(self):
        return {"at": self.at, "nested": {"wind": self.np_random.random(2, np.float32)}, "sign": "go right"}

def make():
    return Walk()

def right(observations):
    return np.ones(len(observations["at"]), int)
"""


def test_a_users_environment_is_scored_with_a_users_expert(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    task = "gymnasium/mine:make"
    words = ["experts", "score", task, "--episodes", "3", "--expert", "callable", "policy=mine:right"]
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "expert 9.00 ± 0.00 (3 episodes)" in done.stdout
    assert (tmp_path / f"gato_tasks/references/{task_file_name(task)}.json").exists()
    listed = subprocess.run([COMMAND, "tasks", task], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert "9.00" in listed.stdout, listed.stderr


def test_a_users_own_suite_is_a_file_in_the_working_directory(tmp_path):
    (tmp_path / "gato_tasks").mkdir()
    line = "  pong: {env: Pong-v5, options: {repeat_action_probability: 0.25, max_episode_steps: 50}}"
    suite = tmp_path / "gato_tasks/sticky.yaml"
    suite.write_text(f"family: ale\ndefaults: {{expert: random}}\ntasks:\n{line}\n")

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, timeout=400)

    scored = run("experts", "score", "sticky/pong", "--episodes", "2")
    assert scored.returncode == 0, scored.stderr
    assert (tmp_path / "gato_tasks/references/sticky.pong.json").exists()
    for wrong, reason in (("tasks: {pong: {enf: x}}", "enf"), ("[", "sticky.yaml"), ("tasks: 3", "sticky.yaml")):
        suite.write_text(wrong)
        refused = subprocess.run(
            [COMMAND, "tasks", "ale/pong"], capture_output=True, text=True, cwd=tmp_path, timeout=60
        )
        assert (refused.returncode, reason in refused.stderr) == (2, True), refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    suite.rename(suite.with_name("ale.yaml")).write_text("tasks: {pong: {env: Pong-v5}}")
    twice = run("tasks", "ale/pong")
    assert (twice.returncode, "listed already" in twice.stderr) == (2, True)


@pytest.mark.parametrize("name", ["NoSuchThing-v0", "nomodule:make", "json:nothing"])
def test_an_environment_that_cannot_be_made_is_refused_in_one_line(name, tmp_path):
    words = ["experts", "score", f"gymnasium/{name}", "--expert", "random"]
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert f"not scored: gymnasium/{name}: " in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_run_with_a_missing_policy_is_refused_before_it_starts(tmp_path):
    pytest.importorskip("reverb")
    entry = '{name: metaworld/reach-v3, expert: callable, expert_options: {policy: "nothing:here"}}'
    (tmp_path / "run.yaml").write_text(f"name: run\ntasks: [{entry}]\nlearner: {{steps: 1}}\n")
    done = subprocess.run([COMMAND, "train", "run.yaml"], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("gato-dist: metaworld/reach-v3, callable expert:")
    assert not (tmp_path / "runs").exists()


def test_spaces_become_named_parts_with_their_ranges():
    from gymnasium import spaces

    space = spaces.Dict(
        {"b": spaces.MultiDiscrete([3, 4]), "a": spaces.Tuple((spaces.Box(0, 255, (16, 32, 1), np.uint8),))}
    )
    image, numbers = observation_specs(space)
    assert (image.name, image.modality, image.shape) == ("a/0", Modality.IMAGE, (16, 32, 3))
    assert (numbers.name, numbers.num_values, numbers.shape) == ("b", 4, (2,))
    batch = {"b": np.ones((5, 2), int), "a": (np.full((5, 16, 32, 1), 7, np.uint8),)}
    assert read_observations(space, batch)["a/0"].shape == (5, 16, 32, 3)
    assert action_spec(spaces.MultiBinary(3)).num_values == (2, 2, 2)


@pytest.mark.parametrize(
    ("shape", "modality", "seen"),
    [
        ((7, 7, 3), Modality.DISCRETE, (7, 7, 3)),
        ((84, 84, 3), Modality.IMAGE, (96, 96, 3)),
        ((3, 16, 32), Modality.IMAGE, (16, 32, 3)),
        ((210, 160, 1), Modality.IMAGE, (224, 160, 3)),
        ((4, 84, 84), Modality.DISCRETE, (4, 84, 84)),
    ],
)
def test_uint8_boxes_become_images_or_grids_by_shape(shape, modality, seen):
    space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
    (part,) = observation_specs(space)
    assert (part.modality, part.shape) == (modality, seen)
    assert part.num_values == (256 if modality is Modality.DISCRETE else 0)
    values = np.stack([space.sample(), space.sample()])
    read = read_observations(space, values)["state"]
    assert read.shape == (2, *seen)
    assert read.sum() == values.sum() * (3 if shape[2] == 1 else 1)


def test_integer_boxes_become_choices_counted_from_the_lowest():
    space = gymnasium.spaces.Box(np.array([-2, 3]), np.array([2, 5]), dtype=np.int32)
    assert action_spec(space).num_values == (5, 3)
    assert (first_action(space) == [-2, 3]).all()
    grid = gymnasium.spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, 1], [0, 0]]))
    assert action_spec(grid).num_values == (2, 3, 4, 5)
    assert action_spec(gymnasium.spaces.Box(-1.0, 1.0, ())).shape == ()


def test_unsupported_spaces_are_refused_with_their_name():
    spaces = gymnasium.spaces
    with pytest.raises(InputError, match="'graph'"):
        observation_specs(spaces.Dict({"graph": spaces.Graph(spaces.Box(0, 1, (2,)), None)}))
    with pytest.raises(InputError, match="below 0"):
        observation_specs(spaces.Box(-3, 3, (2,), np.int64))
    with pytest.raises(InputError, match="'none': shape \\(0,\\) holds no number"):
        observation_specs(spaces.Dict({"none": spaces.Box(-1, 1, (0,))}))
    with pytest.raises(InputError, match="'a/b': two parts"):
        observation_specs(spaces.Dict({"a/b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})}))
    with pytest.raises(InputError, match="Tuple"):
        action_spec(spaces.Tuple((spaces.Discrete(2),)))
    with pytest.raises(InputError, match="2000 choices"):
        action_spec(spaces.Discrete(2000))
    with pytest.raises(InputError, match="hold no number"):
        action_spec(spaces.Box(-1, 1, (0,)))
