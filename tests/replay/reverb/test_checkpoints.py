"""Replay on disk: what was held comes back under the same keys, and what does not fit is refused and refilled."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gato_dist.config.sections import ReplayConfig
from gato_dist.sequence import SequenceShape
from gato_dist.telemetry import TableReport
from replay.reverb.checkpoints import ReplayCheckpoints
from replay.reverb.server import NEWEST, Disk, ReplayServer
from replay.reverb.tables import import_reverb
from replay.reverb.writer import SequenceWriter
from tests.replay.reverb.test_replay import make_rows, never

SHAPE = SequenceShape(16, 0, 2, 3)
CONFIG = ReplayConfig(size=64, ahead=40, min_size=4)


def serve(root: Path, step: int | None = None, config: ReplayConfig = CONFIG, tokenizer: str = "t") -> ReplayServer:
    return ReplayServer({"a": SHAPE}, config, disk=Disk(root, 0, 2, tokenizer, step))


def keys_of(server: ReplayServer) -> dict[int, bytes]:
    """Rows by their keys, as many as enough draws show."""
    client = import_reverb().Client(f"localhost:{server.port}")
    drawn = client.sample("a", 400, emit_timesteps=False)
    return {int(np.ravel(sample.info.key)[0]): bytes(np.ravel(sample.data[0])) for sample in drawn}


@pytest.fixture
def saved(tmp_path) -> tuple[Path, dict[int, bytes]]:
    """A checkpoint of 12 rows, and those."""
    server = serve(tmp_path)
    with SequenceWriter(f"localhost:{server.port}", "a", never) as writer:
        writer.write(make_rows(SHAPE, 12))
    server.save(60)
    held = keys_of(server)
    server.stop()
    return tmp_path / "checkpoints" / "step-00000060" / "shard-0", held


def test_tables_come_back_with_their_keys_and_counters(saved, tmp_path):
    place, held = saved
    server = serve(tmp_path, NEWEST)
    assert server.began == "from the checkpoint of step-00000060"
    assert replace(server.metrics()["a"], sampled=0) == TableReport(size=12, inserted=12, sampled=0)
    assert keys_of(server) == held
    assert len(held) == 12
    server.save(70)
    assert place.is_dir()
    server.stop()


def test_a_run_that_died_before_replay_was_saved_too_begins_from_replay_s_checkpoint_before(saved, tmp_path):
    _, held = saved
    server = serve(tmp_path, 75)
    assert server.began == "from the checkpoint of step-00000060"
    assert keys_of(server) == held
    server.stop()
    before = serve(tmp_path, 59)
    assert before.began.endswith("step-00000059/shard-0: there is none")
    before.stop()


def test_where_the_newest_checkpoint_is_damaged_the_one_before_it_is_taken_and_both_are_told(saved, tmp_path):
    place, held = saved
    shutil.copytree(place.parent, newer := place.parent.with_name("step-00000070"))
    cut(newer / place.name)
    server = serve(tmp_path, 70)
    assert server.began.startswith("from the checkpoint of step-00000060; ")
    assert "damaged" in server.began
    assert keys_of(server) == held
    server.stop()


def unfinished(place: Path) -> dict:
    (place / "DONE").unlink()
    return {}


def cut(place: Path) -> dict:
    chunks = place / "chunks.tfrecord"
    chunks.write_bytes(chunks.read_bytes()[:-9])
    return {}


def gone(place: Path) -> dict:
    place.rename(place.with_name("elsewhere"))
    return {}


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (unfinished, "no DONE"),
        (cut, "damaged"),
        (gone, "there is none"),
        (lambda place: {"tokenizer": "other"}, "its tokenizer is not this run's"),
        (lambda place: {"config": CONFIG.model_copy(update={"size": 32})}, "size of a is 64 there, 32 in this run"),
    ],
)
def test_what_is_damaged_or_of_another_run_is_told_and_replay_begins_empty(saved, tmp_path, harm, says):
    place, _ = saved
    server = serve(tmp_path, 60, **harm(place))
    assert server.began.startswith("empty, replay refills: ")
    assert says in server.began
    assert "\n" not in server.began
    assert server.metrics()["a"].size == 0
    server.stop()


def test_as_many_are_kept_as_of_the_learner_and_none_from_beyond(tmp_path):
    first, second = (ReplayCheckpoints(tmp_path, shard, 2) for shard in (0, 1))
    for step in (10, 20, 30, 900):
        first.place(step).mkdir(parents=True)
    second.place(10).mkdir()
    first.prune(30)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert left == {"step-00000010/shard-1", "step-00000020/shard-0", "step-00000030/shard-0"}
    assert not first.place(900).parent.exists()
    assert (first.until(None), second.until(None)) == ([first.place(30), first.place(20)], [second.place(10)])
