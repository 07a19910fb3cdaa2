"""Replay checkpoints: tables are restored with their keys, and checkpoints that do not fit are refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import SequenceShape
from gato_dist.telemetry import TableReport
from replay.reverb.checkpoints import ReplayCheckpoints
from replay.reverb.libraries import import_reverb
from replay.reverb.server import NEWEST, CheckpointSettings, ReplayServer
from replay.reverb.writer import SequenceWriter
from tests.support.replay_server import make_sequences, never

SHAPE = SequenceShape(length=16, tensors=2, tensor_size=3)
CONFIG = ReplayConfig(size=64, max_sequences_ahead=40, min_size=4)


def serve(root: Path, step: int | None = None, config: ReplayConfig = CONFIG, tokenizer: str = "t") -> ReplayServer:
    return ReplayServer({"a": SHAPE}, config, checkpoints=CheckpointSettings(root, 0, 2, tokenizer, step))


def keys_of(server: ReplayServer) -> dict[int, bytes]:
    """Returns the sequences by their keys, as many as enough draws show."""
    client = import_reverb().Client(f"localhost:{server.port}")
    drawn = client.sample("a", 400, emit_timesteps=False)
    return {int(np.ravel(sample.info.key)[0]): bytes(np.ravel(sample.data[0])) for sample in drawn}


@pytest.fixture
def saved(tmp_path) -> tuple[Path, dict[int, bytes]]:
    """A checkpoint of 12 sequences: its path, and the sequences by their keys."""
    server = serve(tmp_path)
    with SequenceWriter(f"localhost:{server.port}", "a", never) as writer:
        writer.write(make_sequences(SHAPE, 12))
    server.save(60)
    held = keys_of(server)
    server.stop()
    return tmp_path / "checkpoints" / "step-00000060" / "shard-0", held


def test_tables_are_restored_with_their_keys_and_counters(saved, tmp_path):
    path, held = saved
    server = serve(tmp_path, NEWEST)
    assert server.began == "from the checkpoint of step-00000060"
    assert replace(server.metrics()["a"], sampled=0) == TableReport(size=12, inserted=12, sampled=0)
    assert keys_of(server) == held
    assert len(held) == 12
    server.save(70)
    assert path.is_dir()
    server.stop()


def test_replays_previous_checkpoint_is_restored_if_the_one_of_the_learners_step_is_missing(saved, tmp_path):
    _, held = saved
    server = serve(tmp_path, 75)
    assert server.began == "from the checkpoint of step-00000060"
    assert keys_of(server) == held
    server.stop()
    before = serve(tmp_path, 59)
    assert before.began.endswith("step-00000059/shard-0: there is none")
    before.stop()


def test_the_previous_checkpoint_is_restored_if_the_newest_is_damaged_and_the_message_names_both(saved, tmp_path):
    path, held = saved
    shutil.copytree(path.parent, newer := path.parent.with_name("step-00000070"))
    cut(newer / path.name)
    server = serve(tmp_path, 70)
    assert server.began.startswith("from the checkpoint of step-00000060; ")
    assert "damaged" in server.began
    assert keys_of(server) == held
    server.stop()


def unfinished(path: Path) -> dict:
    (path / "DONE").unlink()
    return {}


def cut(path: Path) -> dict:
    chunks = path / "chunks.tfrecord"
    chunks.write_bytes(chunks.read_bytes()[:-9])
    return {}


def gone(path: Path) -> dict:
    path.rename(path.with_name("elsewhere"))
    return {}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unfinished, "no DONE"),
        (cut, "damaged"),
        (gone, "there is none"),
        (lambda path: {"tokenizer": "other"}, "its tokenizer is not this run's"),
        (lambda path: {"config": CONFIG.model_copy(update={"size": 32})}, "size of a is 64 there, 32 in this run"),
    ],
)
def test_replay_starts_empty_if_the_checkpoint_is_damaged_or_of_another_run(saved, tmp_path, damage, message):
    path, _ = saved
    server = serve(tmp_path, 60, **damage(path))
    assert server.began.startswith("empty, replay refills: ")
    assert message in server.began
    assert "\n" not in server.began
    assert server.metrics()["a"].size == 0
    server.stop()


def test_the_newest_checkpoints_up_to_a_step_are_kept(tmp_path):
    first, second = (ReplayCheckpoints(tmp_path, shard, 2) for shard in (0, 1))
    for step in (10, 20, 30, 900):
        first.path(step).mkdir(parents=True)
    second.path(10).mkdir()
    first.prune(30)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert left == {"step-00000010/shard-1", "step-00000020/shard-0", "step-00000030/shard-0"}
    assert not first.path(900).parent.exists()
    assert (first.up_to(None), second.up_to(None)) == ([first.path(30), first.path(20)], [second.path(10)])
