"""`gato-dist collect`: goals, policies, filters, file systems, and folders that hold something else."""

import json
import uuid
from pathlib import Path

import pytest
import torch

from actors.evaluate import play_expert
from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import parse_config
from gato_dist.datasets.collect import collect
from gato_dist.datasets.collect_plan import CollectionGoal
from gato_dist.datasets.collect_request import CollectionRequest
from gato_dist.datasets.inspect import print_dataset, validate_dataset
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference
from gato_dist.seeds import dataset_seeds
from gato_dist.training.tokenizer import make_tokenizer
from gato_dist.utils.manifest import seal
from learner.checkpoint import Counters, Snapshot, build_model, content_hash
from learner.checkpoint_folder import CheckpointFolder
from replay.dataset.dataset import Dataset, read_settings
from replay.dataset.shards import EpisodeEntry, write_shard
from replay.dataset.storage import Location

TASK = "babyai/go-to-local"
SMALL = {"width": 32, "layers": 1, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8}


def request(out, tasks=(TASK,), episodes: int = 0, steps: int = 0, **others) -> CollectionRequest:
    configs = tuple(task if isinstance(task, TaskConfig) else TaskConfig(name=task) for task in tasks)
    return CollectionRequest(tasks=configs, goal=CollectionGoal(episodes, steps), out=Location.of(out), **others)


def entries(root) -> list[EpisodeEntry]:
    """The episodes of a valid dataset, in the order of their indices."""
    validate_dataset(Location.of(root))
    manifests = Dataset.open(root).manifests(TASK)
    return sorted((entry for manifest in manifests for entry in manifest.entries), key=lambda entry: entry.index)


def test_a_goal_in_steps_needs_the_first_shards_that_hold_them(tmp_path):
    collect(request(tmp_path, steps=150))
    held = entries(tmp_path)
    assert [entry.index for entry in held] == list(range(len(held)))
    assert len(held) % 16 == 0
    assert sum(entry.steps for entry in held[:-16]) < 150 <= sum(entry.steps for entry in held)
    settings = read_settings(tmp_path)
    assert (settings["steps"], settings["episodes"]) == ({TASK: 150}, {})
    # As if several workers had played beyond the goal, and one of them was killed.
    far = tmp_path / "babyai.go-to-local"
    write_shard(far / "000800", task_spec(TASK), {800: next(play_expert(TASK, dataset_seeds(800, 1)))})
    with pytest.raises(InputError, match=f"{TASK} has {len(held) + 1} episodes; the first missing episode"):
        validate_dataset(Location.of(tmp_path))
    collect(request(tmp_path, steps=100))
    assert entries(tmp_path) == held
    assert read_settings(tmp_path)["steps"] == {TASK: 150}


def test_episodes_below_the_minimum_fraction_are_dropped_and_counted(tmp_path, capsys):
    """A random policy reaches four fifths of the expert's score now and then."""
    collect(request(tmp_path / "all", episodes=48, policy="random"))
    everything = entries(tmp_path / "all")
    collect(request(tmp_path / "good", episodes=3, policy="random", min_fraction=0.8))
    reference = load_reference(TASK)
    least = reference.random.mean + 0.8 * (reference.expert.mean - reference.random.mean)
    held = entries(tmp_path / "good")
    assert len(held) >= 3
    manifests = Dataset.open(tmp_path / "good").manifests(TASK)
    dropped = {each.index: each.episode_return for manifest in manifests for each in manifest.dropped}
    returns = {entry.index: entry.episode_return for entry in everything}
    played = {entry.index: entry.episode_return for entry in held} | dropped
    assert sorted(played) == list(range(len(played)))
    assert all(returns[index] == value for index, value in played.items() if index in returns)
    assert all(entry.episode_return >= least for entry in held)
    assert all(value < least for value in dropped.values())
    assert read_settings(tmp_path / "good")["min_returns"] == {TASK: least}
    capsys.readouterr()
    print_dataset(Location.of(tmp_path / "good"))
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:4] == [TASK, "uniform", str(len(held)), str(len(played))]
    (tmp_path / "good/babyai.go-to-local/000000.json").unlink()
    with pytest.raises(InputError, match="the first missing episode is 0"):
        validate_dataset(Location.of(tmp_path / "good"))


def test_a_minimum_fraction_needs_a_reference_and_whole_episodes_and_must_be_reachable(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="gymnasium/CartPole-v1: no reference scores"):
        collect(request(tmp_path / "a", ["gymnasium/CartPole-v1"], 1, policy="random", min_fraction=0.5))
    with pytest.raises(InputError, match=f"{TASK} is cut after demonstration_steps 3"):
        collect(request(tmp_path / "a", [TaskConfig(name=TASK, demonstration_steps=3)], 1, min_fraction=0.5))
    with pytest.raises(InputError, match=f"{TASK}: the last 160 episodes all scored too low: .* 9.0 is a return of"):
        collect(request(tmp_path / "b", episodes=1, policy="random", min_fraction=9.0))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_tasks_demonstration_settings_apply_to_a_collection(tmp_path):
    task = TaskConfig(name=TASK, demonstration_steps=3, noise=0.5, noise_steps=2)
    collect(request(tmp_path, [task], episodes=16))
    shard = Dataset.open(tmp_path).shards[TASK][0]
    played = [shard.episode(entry) for entry in shard.manifest.entries]
    assert max(map(len, played)) == 3
    assert any((episode.actions != episode.targets).any() for episode in played)
    assert read_settings(tmp_path)["experts"] == {
        TASK: {"expert": "bot", "expert_options": {}, "demonstration_steps": 3, "noise": 0.5, "noise_steps": 2}
    }
    with pytest.raises(InputError, match=f"collected with experts of {TASK}"):
        collect(request(tmp_path, episodes=20))


def checkpoint(root: Path, task: str) -> Path:
    config = parse_config(
        {"name": "t", "tasks": [{"name": task}], "model": SMALL, "evaluation": {"temperature": 1}}, "t"
    )
    tokenizer = make_tokenizer(config)
    model = build_model(config, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters())
    folder = CheckpointFolder(root, 1)
    folder.save(Snapshot.take(config, tokenizer, model=model, optimizer=optimizer, counters=Counters(3, 0, 0, 7)))
    folder.wait()
    return folder.newest()


def test_a_checkpoint_plays_and_its_hash_is_in_every_episode(tmp_path):
    path = checkpoint(tmp_path / "checkpoints", TASK)
    with pytest.raises(InputError, match=f"ale/pong: the checkpoint's tasks are {TASK}"):
        collect(request(tmp_path / "set", [TASK, "ale/pong"], 2, policy=str(path)))
    for name in ("set", "again"):
        collect(request(tmp_path / name, [TASK], 2, policy=str(path)))
    one, other = (Dataset.open(tmp_path / name) for name in ("set", "again"))
    assert [m.sha256 for m in one.manifests(TASK)] == [m.sha256 for m in other.manifests(TASK)]
    content = content_hash(path)
    for entry in entries(tmp_path / "set"):
        source = entry.provenance
        assert (source.policy, source.policy_hash, source.weights_version) == ("gato", content[:16], 7)
    known = {"name": "step-00000003", "sha256": content, "step": 3, "weights_version": 7}
    assert (one.settings["policy"], one.settings["checkpoint"]) == ("gato", known)
    (path / "optimizer.safetensors").unlink()
    assert content_hash(path) == content
    (path / "config.yaml").write_text((path / "config.yaml").read_text() + "\n")
    with pytest.raises(InputError, match=r"config.yaml: damaged"):
        collect(request(tmp_path / "set", [TASK], 2, policy=str(path)))
    (path / "manifest.json").unlink()
    seal(path)
    with pytest.raises(InputError, match="collected with checkpoint"):
        collect(request(tmp_path / "set", [TASK], 2, policy=str(path)))


def test_a_collection_on_another_file_system_holds_the_same_episodes(tmp_path):
    elsewhere = f"memory://{uuid.uuid4()}/set"
    for root in (tmp_path / "set", elsewhere):
        collect(request(root, episodes=12, policy="random"))
        collect(request(root, episodes=18, policy="random"))
    here, there = (
        [(entry.index, entry.steps, entry.episode_return, entry.provenance.seed) for entry in entries(root)]
        for root in (tmp_path / "set", elsewhere)
    )
    assert here == there
    names = [path.name for path in Location.of(elsewhere).glob("*/*")]
    assert names == [f"{first:06d}.{suffix}" for first in (0, 12, 16) for suffix in ("json", "parquet")]


def test_a_task_that_fails_is_named_and_the_others_are_collected(tmp_path):
    wrong = TaskConfig(name="metaworld/reach-v3", expert_options={"nothing": 1})
    with pytest.raises(InputError, match=r"1 of 2 tasks not collected: metaworld/reach-v3.*nothing"):
        collect(request(tmp_path, [wrong, TASK], episodes=2))
    assert [entry.index for entry in Dataset.open(tmp_path).manifests(TASK)[0].entries] == [0, 1]
    with pytest.raises(InputError, match=r"metaworld/reach-v3 has 0 of 2 episodes; the first missing episode is 0"):
        validate_dataset(Location.of(tmp_path))


def test_two_collections_may_start_in_a_new_folder_at_the_same_moment(tmp_path, monkeypatch):
    """The second collection writes its first file between the two checks of the first one."""
    look = Location.glob

    def late(self, pattern):
        found = look(self, pattern)
        if not (tmp_path / "set/dataset.json").exists():
            monkeypatch.undo()
            collect(request(tmp_path / "set", episodes=2, policy="random"))
        return found

    (tmp_path / "set").mkdir()
    monkeypatch.setattr(Location, "glob", late)
    collect(request(tmp_path / "set", episodes=3, policy="random"))
    assert [entry.index for entry in entries(tmp_path / "set")] == [0, 1, 2]


def test_a_folder_that_is_not_a_collection_is_left_unchanged(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already and is not a dataset"):
        collect(request(tmp_path, episodes=2))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "thesis.txt").unlink()
    collect(request(tmp_path, episodes=2, policy="random"))
    shard = tmp_path / "babyai.go-to-local/000000.json"
    shard.write_text(json.dumps(json.loads(shard.read_text()) | {"episodes": []}))
    with pytest.raises(InputError, match=r"000000\.json: not written by a collection"):
        collect(request(tmp_path, episodes=4, policy="random"))


def test_a_task_whose_folder_has_another_name_is_refused(tmp_path):
    collect(request(tmp_path, episodes=1))
    (tmp_path / "babyai.go-to-local").rename(tmp_path / "babyai:go-to-local")
    with pytest.raises(
        InputError, match=r"babyai:go-to-local: holds .*, whose folder must be babyai\.go-to-local; rename it"
    ):
        collect(request(tmp_path, episodes=2))
    assert sorted(path.name for path in tmp_path.glob("*/*.json")) == ["000000.json"]
