"""A run whose disk fills up: it ends with one line that names the file, and resumes once there is room."""

import pytest

from gato_dist.scores.table import ScoreTable
from tests.e2e.test_quarantine import write_run
from tests.e2e.test_train import finish, start, wait_for_checkpoint
from tests.support.full_disk import fill, small_disk

pytestmark = pytest.mark.slow


def test_a_run_whose_disk_fills_up_ends_in_one_line_and_resumes(tmp_path):
    config = write_run(tmp_path, Walk="go")
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        run = disk / "run"
        process = start(config, "--run", str(run), "learner.steps=100000", "learner.checkpoint_seconds=2", cwd=tmp_path)
        wait_for_checkpoint(run, process)
        ballast = fill(disk)
        output = finish(process)
        assert process.returncode == 1, output
        assert "Traceback" not in output
        last = output.strip().splitlines()[-1]
        assert last.startswith(f"gato-dist: {run}")
        assert "no space left on its disk; free some and go on (train: with --resume)" in last
        before = ScoreTable.read(run / "scores.csv")
        ballast.unlink()
        newest = max(int(path.name.removeprefix("step-")) for path in run.glob("checkpoints/step-*"))
        process = start(config, "--run", str(run), "--resume", f"learner.steps={newest + 100}", cwd=tmp_path)
        output = finish(process)
        assert process.returncode == 0, output
        rows = ScoreTable.read(run / "scores.csv")
        assert rows[: len(before)] == before
        assert rows[-1].step == newest + 100
