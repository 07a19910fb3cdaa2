"""Validation finds every kind of fault of a shard, and names the file and the episode."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_dist.episode import Episode
from gato_dist.errors import InputError
from replay.dataset.shards import Shard, write_shard
from replay.dataset.validation import shard_faults
from tests.support.episodes import episode
from tests.support.fakes import ARM, BUTTONS


def faults(root: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """Returns the faults of a shard of episodes 0 and 1 after a change of its manifest."""
    write_shard(root / "a", ARM, {0: episode(70, 0), 1: episode(9, 1)})
    data = json.loads((root / "a.json").read_text())
    change(data)
    (root / "a.json").write_text(json.dumps(data))
    found = shard_faults(Shard(root / "a.json"))
    assert all(fault.startswith(str(root / "a.")) for fault in found)
    return "\n".join(found)


def test_a_new_shard_has_no_faults(tmp_path):
    assert faults(tmp_path, lambda data: None) == ""


def damaged(root: Path, change: Callable[[bytes], bytes]) -> list[str]:
    """Returns the faults of a shard after a change of its Parquet file's bytes."""
    write_shard(root / "a", ARM, {0: episode(70, 0)})
    (root / "a.parquet").write_bytes(change((root / "a.parquet").read_bytes()))
    return shard_faults(Shard(root / "a.json"))


@pytest.mark.parametrize("at", [0, 5, 1000, -1])
def test_a_flipped_bit_is_found(tmp_path, at):
    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    (fault,) = damaged(tmp_path, flip)
    assert fault.startswith(f"{tmp_path}/a.parquet: its checksum")


@pytest.mark.parametrize("left", [0, 1, -1])
def test_a_truncated_file_is_found(tmp_path, left):
    (fault,) = damaged(tmp_path, lambda data: data[:left])
    assert fault.startswith(f"{tmp_path}/a.parquet: has ")
    assert "cut short" in fault


def test_a_missing_file_is_found(tmp_path):
    write_shard(tmp_path / "a", ARM, {0: episode(70, 0)})
    (tmp_path / "a.parquet").unlink()
    shard = Shard(tmp_path / "a.json")
    assert shard_faults(shard) == [f"{tmp_path}/a.parquet: missing"]
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        shard.episode(shard.manifest.entries[0])


def entry(at: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Returns a change of some fields of an episode's entry."""
    return lambda data: data["episodes"][at].update(values)


def _swap(data: dict[str, Any]) -> None:
    data["episodes"].reverse()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (entry(1, steps=8), "a.parquet: episode 1: has 9 steps, not 8"),
        (entry(0, steps=71), "a.parquet: episode 0: has 70 steps, not 71"),
        (entry(1, steps=65), "a.json: its episodes' lengths and row groups"),
        (entry(0, end_group=1), "a.json: its episodes' lengths and row groups"),
        (entry(1, first_group=1, end_group=2), "a.parquet: episode 1: its rows are another episode's"),
        (entry(0, index=5), "a.parquet: episode 5: its rows are another episode's"),
        (entry(1, index=0), "a.json: lists episode 0 twice"),
        (entry(1, episode_return=7.0), "a.parquet: episode 1: returns"),
        (entry(1, provenance={"task": "toy/leg", "seed": 0, "policy": "", "policy_hash": ""}), "played in toy/leg"),
        (lambda data: data["dropped"].append({"index": 1, "episode_return": 0.0}), "lists episode 1 twice"),
        (_swap, "a.json: its episodes' lengths and row groups"),
        (lambda data: data["spec"]["observations"][3].update(name="pace"), "episode 0: cannot be read as its task's"),
        (lambda data: data["spec"]["observations"][3].update(shape=[4]), "episode 0: cannot be read as its task's"),
        (lambda data: data.update(sha256="0" * 64), "a.parquet: its checksum"),
    ],
)
def test_a_manifest_that_does_not_match_its_steps_is_found(tmp_path, change, says):
    assert says in faults(tmp_path, change)


def changed(**values: Any) -> Episode:
    made = episode(9, 1)
    observations = made.observations | {name: part for name, part in values.items() if name in made.observations}
    others = {name: value for name, value in values.items() if name not in made.observations}
    return replace(made, observations=observations, **others)


ONES = np.ones((9, 2), np.float32)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"gripper": np.full(9, 4)}, "gripper, step 0: 4 is not an integer in [0, 4)"),
        ({"gripper": np.full(9, -1)}, "gripper, step 0: -1 is not an integer in [0, 4)"),
        ({"pose": np.full((9, 3), np.inf)}, "pose, step 0: inf is not finite"),
        ({"actions": ONES * 1.1}, "actions, step 0: 1.1 lies outside [-1, 1]"),
        ({"actions": ONES - np.eye(9, 2, -3, np.float32) * 9}, "actions, step 3: -8 lies outside [-1, 1]"),
        ({"targets": ONES * np.nan}, "targets, step 0: nan is not finite"),
        ({"rewards": np.full(9, np.nan, np.float32)}, "rewards, step 0: nan is not finite"),
        ({"camera": np.zeros((9, 16, 31, 3), np.uint8)}, "cannot be read"),
    ],
)  # fmt: skip
def test_a_value_outside_the_tasks_space_is_found(tmp_path, values, says):
    if "camera" in values:
        narrow = replace(ARM, observations=tuple(
            replace(part, shape=(16, 31, 3)) if part.name == "camera" else part for part in ARM.observations
        ))  # fmt: skip
        write_shard(tmp_path / "a", narrow, {4: changed(**values)})
        data = json.loads((tmp_path / "a.json").read_text())
        (tmp_path / "a.json").write_text(json.dumps(data | {"spec": ARM.to_dict()}))
    else:
        write_shard(tmp_path / "a", ARM, {4: changed(**values)})
    (fault,) = shard_faults(Shard(tmp_path / "a.json"))
    assert fault.startswith(f"{tmp_path}/a.parquet: episode 4: ")
    assert says in fault


def test_discrete_actions_out_of_range_are_found_but_rounding_at_a_bound_is_allowed(tmp_path):
    presses = np.array([0, 1, 3])
    source = replace(episode(1, 0).provenance, task=BUTTONS.name)
    pressed = Episode(
        observations={"light": np.zeros(3, int)},
        actions=presses,
        targets=presses % 3,
        rewards=np.zeros(3, np.float32),
        terminated=True,
        success=None,
        provenance=source,
    )
    write_shard(tmp_path / "a", BUTTONS, {0: pressed})
    (fault,) = shard_faults(Shard(tmp_path / "a.json"))
    assert fault.endswith("actions, step 2: 3 is not an integer in [0, 3)")
    write_shard(tmp_path / "b", ARM, {0: changed(actions=np.nextafter(ONES, 2, dtype=np.float32))})
    assert shard_faults(Shard(tmp_path / "b.json")) == []


def test_a_file_that_is_not_parquet_is_found(tmp_path):
    write_shard(tmp_path / "a", ARM, {0: episode(9, 0)})
    text = b"PAR1 no Parquet at all"
    (tmp_path / "a.parquet").write_bytes(text)
    data = json.loads((tmp_path / "a.json").read_text())
    data |= {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (tmp_path / "a.json").write_text(json.dumps(data))
    (fault,) = shard_faults(Shard(tmp_path / "a.json"))
    assert "cannot be read" in fault
