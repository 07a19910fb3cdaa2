"""Storage: writes are atomic on this machine and elsewhere, and a URL that cannot be opened says what is missing."""

import os
import pickle
import time
import uuid

import pytest

from gato_dist.errors import InputError
from replay.dataset.shards import Shard, write_shard
from replay.dataset.storage import Location
from replay.dataset.validation import shard_faults
from tests.support.episodes import episode, same
from tests.support.fakes import ARM


@pytest.fixture(params=["here", "file", "memory"])
def root(request, tmp_path) -> Location:
    """A folder that does not exist yet: a path, a file URL, or fsspec's memory."""
    where = {
        "here": tmp_path / "in/data",
        "file": f"file://{tmp_path}/in/data",
        "memory": f"memory://{uuid.uuid4()}/data",
    }
    return Location.of(where[request.param])


def test_files_are_written_listed_read_and_deleted(root):
    assert (root.exists(), root.glob("*/*.json")) == (False, [])
    for name in ("b/2.json", "b/1.json", "a/x.parquet", "top.json"):
        (root / name).write_text(name)
        (root / name).write_text(name + "!")
    assert root.is_folder()
    assert [str(path) for path in root.glob("*/*.json")] == [f"{root}/b/1.json", f"{root}/b/2.json"]
    assert [path.name for path in root.glob("*")] == ["top.json"]
    one = pickle.loads(pickle.dumps(root / "b/1.json"))
    assert (one.read_text(), one.size(), one.name, one.parent) == ("b/1.json!", 9, "1.json", root / "b")
    assert one.with_suffix(".parquet") == root / "b/1.parquet"
    one.unlink()
    one.unlink()
    assert not one.exists()
    with pytest.raises(FileNotFoundError):
        one.size()


def test_a_failed_write_leaves_the_old_file(root):
    kept = root / "kept.json"
    kept.write_text("before")

    def fail(path: Location) -> None:
        with path.atomic_write() as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    for path in (kept, root / "new.json"):
        with pytest.raises(ZeroDivisionError):
            fail(path)
    assert kept.read_text() == "before"
    assert [path.name for path in root.glob("*")] == ["kept.json"]


def test_shards_can_be_on_any_storage(root):
    made = {i: episode(5 + 70 * i, i) for i in range(3)}
    write_shard(root / "toy.arm/000000", ARM, made)
    (path,) = root.glob("*/*.json")
    shard = Shard(path)
    assert all(same(shard.episode(entry), made[entry.index]) for entry in shard.manifest.entries)
    assert shard.window(shard.manifest.entries[2], 60, 70).column("step").to_pylist() == list(range(60, 70))
    assert shard_faults(shard) == []


def test_partial_files_are_deleted_only_when_old(tmp_path):
    old, new, kept = (tmp_path / "a" / name for name in (".1.json.x.partial", ".2.json.y.partial", "3.json"))
    old.parent.mkdir()
    for path in (old, new, kept):
        path.write_text("half")
    for path in (old, kept):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    assert [path.name for path in Location.of(tmp_path).glob("*/*")] == ["3.json"]
    Location.of(tmp_path).delete_stale_partials()
    assert (old.exists(), new.exists(), kept.exists()) == (False, True, True)


def test_options_of_a_url_stay_at_its_end():
    root = Location.of("s3://bucket/data?region=eu-west-1")
    assert str(root / "a.b/000000.json") == "s3://bucket/data/a.b/000000.json?region=eu-west-1"
    assert str((root / "0.json").with_suffix(".parquet")) == "s3://bucket/data/0.parquet?region=eu-west-1"
    assert (root.name, root.parent) == ("data", Location("s3://bucket?region=eu-west-1"))


def test_local_paths_may_contain_special_characters():
    assert str(Location.of("runs?/a") / "b.json") == "runs?/a/b.json"
    assert Location.of("file:///a/b%20c") == Location.of("/a/b c")
    assert (Location.of("/a").parent, Location.of("a").parent) == (Location("/"), Location("."))
    assert Location.of("a").absolute() == Location(os.path.abspath("a"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nowhere://a/b", "can open nowhere://"),
        ("sftp://host/x", "paramiko"),
        ("file://host/x", "three slashes"),
        ("abfs://x/y", "account name"),
    ],
)
def test_a_url_that_cannot_be_opened_says_what_is_missing(url, says):
    with pytest.raises(InputError, match=says):
        Location.of(url).exists()
