"""Policies from files act as the models that were saved, with torch alone, and nothing is unpickled."""

import base64
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.evaluate import evaluate_expert
from actors.experts.registry import make_expert
from actors.experts.rl.checkpoint import CheckpointExpert
from actors.experts.rl.policy_files import find_policy
from actors.experts.rl.preprocess import Preprocessing, default_preprocessing, preprocess, preprocessed_shape
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from tests.support.fakes import ARM, BUTTONS
from tests.support.paths import ROOT

sb3 = pytest.importorskip("stable_baselines3")
from actors.experts.rl.sb3_env import ExpertVecEnv, make_restartable  # noqa: E402  (needs stable-baselines3)

CARTPOLE = "dm_control/cartpole-balance"
SMALL = {"net_arch": [16, 12], "activation_fn": torch.nn.ELU}


class IdleEnv:
    """An environment that is never stepped."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec, self.seeds = spec, [0]


def pixels(channels: int) -> TaskSpec:
    size = (64, 80, channels)
    return TaskSpec(
        "ale/toy",
        (ObservationSpec("image", Modality.IMAGE, size),),
        ActionSpec(Modality.DISCRETE, num_values=(6,)),
        max_steps=10,
    )


STATE = TaskSpec(
    "toy/state",
    (ObservationSpec("b", Modality.CONTINUOUS, (2, 2)), ObservationSpec("a", Modality.CONTINUOUS, ())),
    ActionSpec(Modality.CONTINUOUS, (2,), low=(-2.0, 0.0), high=(2.0, 0.5)),
    max_steps=10,
)


def observations_of(spec: TaskSpec, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    seen = {}
    for part in spec.observations:
        shape = (count, *part.shape)
        if part.modality is Modality.IMAGE:
            seen[part.name] = rng.integers(256, size=shape, dtype=np.uint8)
        elif part.modality is Modality.DISCRETE:
            seen[part.name] = rng.integers(part.num_values, size=shape)
        else:
            seen[part.name] = 3 * rng.normal(size=shape)
    return seen


@pytest.mark.parametrize(
    ("algorithm", "policy", "spec", "kwargs"),
    [
        ("PPO", "MlpPolicy", STATE, SMALL),
        ("PPO", "MlpPolicy", STATE, {}),
        ("A2C", "MlpPolicy", BUTTONS, {"net_arch": {"pi": [8], "vf": [16, 16]}}),
        ("SAC", "MlpPolicy", STATE, SMALL),
        ("TD3", "MlpPolicy", STATE, {}),
        ("DQN", "MlpPolicy", BUTTONS, SMALL),
        ("PPO", "CnnPolicy", pixels(3), {}),
    ],
)
def test_a_stable_baselines_zip_acts_as_its_own_predict(tmp_path, algorithm, policy, spec, kwargs):
    rule = default_preprocessing(spec)
    small = {"buffer_size": 10} if algorithm in ("SAC", "TD3", "DQN") else {}
    env = ExpertVecEnv(IdleEnv(spec), rule)
    model = getattr(sb3, algorithm)(policy, env, policy_kwargs=dict(kwargs), seed=3, device="cpu", **small)
    model.save(tmp_path / "model.zip")
    seen = observations_of(spec, 20)
    flat = preprocess(spec, rule, seen)
    if rule.stack > 1:
        flat = np.concatenate([np.zeros_like(flat)] * (rule.stack - 1) + [flat], axis=1)
    expected, _ = model.predict(flat, deterministic=True)

    expert = CheckpointExpert(spec, list(range(20)), str(tmp_path / "model.zip"))
    actions = expert.act(seen, {}, np.ones(20, bool))
    np.testing.assert_allclose(actions, expected.reshape(20, *spec.action.shape), atol=1e-5)
    assert len(np.unique(actions.round(3))) > 1 or algorithm in ("A2C", "DQN"), "observations matter"
    np.testing.assert_array_equal(expert.label(seen, np.ones(len(actions), bool)), actions)


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_nothing_in_a_zip_is_unpickled(tmp_path):
    fired, path = tmp_path / "fired", tmp_path / "model.zip"
    bomb = base64.b64encode(pickle.dumps(Bomb(fired))).decode()
    model = sb3.PPO("MlpPolicy", ExpertVecEnv(IdleEnv(STATE), default_preprocessing(STATE)), device="cpu")
    model.save(tmp_path / "plain.zip")
    with zipfile.ZipFile(tmp_path / "plain.zip") as plain, zipfile.ZipFile(path, "w") as bad:
        bad.writestr("policy.pth", plain.read("policy.pth"))
        data = json.loads(plain.read("data"))
        bad.writestr("data", json.dumps({name: {":type:": "x", ":serialized:": bomb} for name in data}))
    assert CheckpointExpert(STATE, [0], str(path)).act(observations_of(STATE, 1), {}, np.ones(1, bool)).shape == (1, 2)
    with zipfile.ZipFile(path, "w") as worse:
        torch.save(Bomb(fired), tmp_path / "policy.pth")
        worse.write(tmp_path / "policy.pth", "policy.pth")
    with pytest.raises(InputError, match=r"model\.zip"):
        CheckpointExpert(STATE, [0], str(path))
    assert not fired.exists()
    pickle.loads(base64.b64decode(bomb))
    assert fired.exists(), "the bomb works"


def save_script(path: Path, spec: TaskSpec) -> torch.nn.Module:
    rule = default_preprocessing(spec)
    outputs = sum(spec.action.num_values) or spec.action.size
    network = torch.nn.Sequential(torch.nn.Linear(preprocessed_shape(spec, rule)[0], outputs))
    torch.jit.script(network).save(str(path))
    return network


@pytest.mark.parametrize("spec", [STATE, BUTTONS])
def test_a_torchscript_program_may_return_actions_or_logits(tmp_path, spec):
    network = save_script(tmp_path / "policy.pt", spec)
    seen = observations_of(spec, 8)
    actions = CheckpointExpert(spec, list(range(8)), str(tmp_path / "policy.pt")).label(seen, np.ones(8, bool))
    out = network(torch.from_numpy(preprocess(spec, default_preprocessing(spec), seen))).detach().numpy()
    expected = out.argmax(1) if spec is BUTTONS else np.clip(out, spec.action.low, spec.action.high)
    np.testing.assert_allclose(actions, expected, atol=1e-6)


def test_an_exported_program_needs_trust(tmp_path):
    network = torch.nn.Linear(5, 2)
    program = torch.export.export(network, (torch.zeros(2, 5),), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "policy.pt2")
    with pytest.raises(InputError, match="trust"):
        CheckpointExpert(STATE, [0], str(tmp_path / "policy.pt2"))
    expert, seen = CheckpointExpert(STATE, [0], str(tmp_path / "policy.pt2"), trust=True), observations_of(STATE, 7)
    out = network(torch.from_numpy(preprocess(STATE, default_preprocessing(STATE), seen))).detach().numpy()
    np.testing.assert_allclose(
        expert.label(seen, np.ones(len(out), bool)), np.clip(out, STATE.action.low, STATE.action.high), atol=1e-6
    )


def test_sampling_follows_the_seeds_of_the_environments(tmp_path):
    save_script(tmp_path / "policy.pt", BUTTONS)
    seen = {"light": np.ones(200, int)}

    def draw(seeds: range) -> np.ndarray:
        expert = CheckpointExpert(BUTTONS, list(seeds), str(tmp_path / "policy.pt"), deterministic=False)
        return expert.act(seen, {}, np.ones(200, bool))

    first = draw(range(200))
    assert len(np.unique(first)) > 1
    np.testing.assert_array_equal(first, draw(range(200)))
    assert (first != draw(range(200, 400))).any()


def test_files_that_do_not_fit_are_refused_with_their_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no checkpoint for toy/state; train one: gato-dist experts train toy/state"):
        find_policy("toy/state")
    save_script(tmp_path / "policy.pt", BUTTONS)
    with pytest.raises(InputError, match=r"none\.zip: no such file"):
        CheckpointExpert(STATE, [0], "none.zip")
    with pytest.raises(InputError, match="hold text"):
        CheckpointExpert(ARM, [0], str(tmp_path / "policy.pt"))
    (tmp_path / "damaged.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"damaged\.zip"):
        CheckpointExpert(STATE, [0], "damaged.zip")
    torch.jit.script(torch.nn.Linear(5, 9)).save("wide.pt")
    with pytest.raises(InputError, match=r"wide\.pt.*needs 2 numbers"):
        CheckpointExpert(STATE, [0], "wide.pt")
    sb3.PPO("MlpPolicy", ExpertVecEnv(IdleEnv(BUTTONS), default_preprocessing(BUTTONS)), device="cpu").save("b.zip")
    with pytest.raises(InputError, match=r"b\.zip.*do not fit"):
        CheckpointExpert(STATE, [0], "b.zip")


def test_an_expert_of_a_task_acts_without_stable_baselines(tmp_path):
    env = ExpertVecEnv(make_restartable(CARTPOLE, [0]), Preprocessing("flat"))
    sb3.SAC("MlpPolicy", env, policy_kwargs=SMALL, buffer_size=10, device="cpu").save(tmp_path / "m.zip")
    code = (
        "import sys; from actors.evaluate import evaluate_expert as e; "
        f"print(len(e({CARTPOLE!r}, 1, 'checkpoint', {{'path': {str(tmp_path / 'm.zip')!r}}})[0]), "
        "'stable_baselines3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["1000", "False"], done.stderr


def test_the_description_depends_on_the_weights(tmp_path):
    spec = task_spec(CARTPOLE)
    said = []
    for name in ("one.pt", "two.pt"):
        save_script(tmp_path / name, spec)
        said.append(CheckpointExpert(spec, [0], str(tmp_path / name)).describe())
    assert said[0]["weights"] != said[1]["weights"]
    made = make_expert(CARTPOLE, [0], 1, "checkpoint", {"path": str(tmp_path / "one.pt")})
    assert made.policy.describe() == said[0]
    json.dumps(said)


def shipped() -> list[Path]:
    return sorted((ROOT / "gato_dist" / "assets" / "experts").glob("*.json"))


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_a_shipped_expert_scores_what_its_record_says(path):
    record = json.loads(path.read_text())
    task, scores = record["task"], record["scores"]
    assert task.replace("/", ".") == path.stem
    assert path.with_suffix(".safetensors").stat().st_size < 4_000_000
    assert all(
        word in record["command"] for word in (task, f"--steps {record['total_steps']}", f"--seed {record['seed']}")
    )
    pytest.importorskip(f"gato_dist.envs.suites.{task.split('/')[0]}")
    returns = [episode.episode_return for episode in evaluate_expert(task, 4, "checkpoint", seed=1)]
    gain = scores["expert"]["mean"] - scores["random"]["mean"]
    four_deviations = 4 * scores["expert"]["std"] / len(returns) ** 0.5
    assert np.mean(returns) > scores["expert"]["mean"] - max(0.2 * gain, four_deviations)
    assert np.mean(returns) > scores["random"]["mean"] + 0.2 * gain
