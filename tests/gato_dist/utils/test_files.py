"""Writing to a full disk: files stay complete, and the error names the file."""

import pytest

from gato_dist.scores.results import EpisodeLog
from gato_dist.scores.table import ScoreRow, ScoreTable
from gato_dist.utils.files import append_line, atomic_path, write_error_text, write_text_atomically
from replay.dataset.storage import Location
from tests.gato_dist.scores.test_results import result
from tests.support.full_disk import fill, small_disk

ROW = ScoreRow(
    step=1,
    weights_version=1,
    task="a/b",
    suite="a",
    episodes=2,
    random=0.0,
    expert=1.0,
    mean=0.5,
    std=0.1,
    fraction=0.5,
    ci_low=0.4,
    ci_high=0.6,
)


def test_on_a_full_disk_no_partial_line_is_appended(tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "lines"
        append_line(path, "first\n")
        ballast = fill(disk)
        with pytest.raises(OSError, match=rf"^{path}: no space left on its disk; free some"):
            append_line(path, "x" * 5000 + "\n")
        assert path.read_text() == "first\n"
        ballast.unlink()
        append_line(path, "second\n")
        assert path.read_text() == "first\nsecond\n"


def test_on_a_full_disk_the_previous_file_stays(tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "cost.json"
        write_text_atomically(path, "before")
        fill(disk)
        with pytest.raises(OSError, match=f"^{path}: no space left"):
            write_text_atomically(path, "x" * 5000)
        assert path.read_text() == "before"
        assert sorted(file.name for file in disk.iterdir()) == ["ballast", "cost.json"]
        with pytest.raises(OSError, match=f"^{disk / 'shard.json'}: no space left"):
            Location.of(disk / "shard.json").write_text("x" * 5000)


def append_for_ever(table: ScoreTable) -> None:
    while True:
        table.append(ROW)


def test_scores_are_readable_after_a_row_did_not_fit_on_the_disk(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        table = ScoreTable(disk / "scores.csv")
        table.append(ROW)
        fill(disk)
        with pytest.raises(OSError, match=r"scores\.csv: no space left"):
            append_for_ever(table)
        rows = ScoreTable.read(disk / "scores.csv")
        assert set(rows) == {ROW}
        with pytest.raises(OSError, match=r"episodes\.jsonl: no space left"):
            EpisodeLog(disk / "episodes.jsonl").append(result("a/b", [1.0] * 3000))


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(122, "Disk quota exceeded"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (OSError("[Errno 28] Error writing bytes to file"), True),
        (OSError(13, "Permission denied"), False),
        (RuntimeError("280 of 28 did not fit"), False),
    ],
)
def test_full_disk_errors_of_every_library_are_recognised(error, full):
    assert ("free some" in write_error_text(error)) == full


def test_a_failed_block_leaves_the_previous_file_and_no_partial_one(tmp_path):
    path = tmp_path / "a.json"
    write_text_atomically(path, "before")
    with pytest.raises(FileNotFoundError), atomic_path(path) as partial:
        partial.with_name("missing").rename(partial)
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "before"
    with atomic_path(path, durable=True) as partial:
        partial.write_text("after")
    assert path.read_text() == "after"
