"""What others have collected is imported and trained on, by the commands that docs/how-to/collect-data.md names."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_dist.cli.main import main
from gato_dist.envs.registry import make_env
from gato_dist.errors import InputError
from gato_dist.scores.references import load_reference
from tests.replay.formats.test_interop import foreign_minari
from tests.support.paths import ROOT

CONFIG = """
name: theirs
tasks: [{name: minari/toy/walk-v1}, {name: jat/balance, window_steps: 2}]
tokens: {length: 64}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8}
learner: {steps: 6, batch: 4, warmup_steps: 2, checkpoint_seconds: 60}
"""
NOT_NEEDED = ("ray", "reverb", "envpool", "gymnasium", "tensorflow", "minari", "h5py", "pandas", "polars", "datasets")


def theirs(folder: Path, monkeypatch) -> None:
    """A Minari set below minari/, and jat/balance/ in JAT's layout."""
    foreign_minari(folder / "minari", monkeypatch)
    rng = np.random.default_rng(0)
    seen = [rng.integers(6, size=(9, 3)) for _ in range(12)]
    rows = {
        "discrete_observations": [each.tolist() for each in seen],
        "discrete_actions": [(each[:, 0] > 2).astype(int).tolist() for each in seen],
        "rewards": [[1.0] * 9] * 12,
    }
    (folder / "jat/balance").mkdir(parents=True)
    pq.write_table(pa.table(rows), folder / "jat/balance/train-00000-of-00001.parquet")


def test_imported_sets_are_joined_and_trained_on_with_nothing_but_the_base_installation(tmp_path, monkeypatch):
    theirs(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(["dataset", "import", "toy/walk-v1", "--format", "minari", "--out", "A"]) == 0
    assert main(["dataset", "import", "jat", "--format", "jat", "--out", "B"]) == 0
    assert main(["dataset", "merge", "A", "B", "--out", "DATA"]) == 0
    assert main(["dataset", "validate", "DATA"]) == 0
    assert "command: gato-dist dataset merge A B" in Path("DATA/README.md").read_text(encoding="utf-8")
    for name in NOT_NEEDED:
        (tmp_path / "shadow" / name).mkdir(parents=True)
        (tmp_path / "shadow" / name / "__init__.py").write_text(f"raise ImportError('no {name} here')\n")
    Path("theirs.yaml").write_text(CONFIG, encoding="utf-8")
    words = ["train", "theirs.yaml", "--data", "DATA"]
    code = f"import sys; from gato_dist.cli.main import main; sys.exit(main({words}))"
    paths = {"PYTHONPATH": f"{tmp_path / 'shadow'}:{ROOT}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=paths, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "step-00000006" in done.stdout


def test_a_dataset_goes_through_every_command_and_comes_back(tmp_path, monkeypatch, capsys):
    theirs(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main(["dataset", "import", "jat", "--format", "jat", "--out", "A"]) == 0
    for kind in ("minari", "jat"):
        assert main(["dataset", "export", "A", "--format", kind, "--out", f"{kind}-out"]) == 0
        assert main(["dataset", "import", f"{kind}-out", "--format", kind, "--out", f"{kind}-back"]) == 0
        one, other = (Path(root) / "jat.balance/000000.parquet" for root in ("A", f"{kind}-back"))
        assert pq.read_table(one).equals(pq.read_table(other))
        assert Path("A/moments.json").read_text(encoding="utf-8") == Path(f"{kind}-back/moments.json").read_text(
            encoding="utf-8"
        )
    assert main(["dataset", "info", "A", "--html", "a.html"]) == 0
    assert "jat/balance" in Path("a.html").read_text(encoding="utf-8")
    Path("A/README.md").unlink()
    assert main(["dataset", "card", "A"]) == 0
    assert Path("A/README.md").exists()
    capsys.readouterr()
    for words, says in (
        (["merge", "A", "A", "--out", "C"], "jat/balance: episode 0 of A is also episode 0 of A (the same steps)"),
        (["merge", "A", "--out", "C"], "two datasets"),
        (["import", "jat", "--format", "jat", "--out", "A"], "A: is there already"),
        (["import", "nowhere", "--format", "jat", "--out", "C"], "nowhere: no folder with Parquet files"),
        (["import", "A", "--format", "minari", "--out", "C"], "A: neither a folder of Minari datasets"),
        (["export", "jat", "--format", "jat", "--out", "C"], "jat: no dataset there"),
    ):
        assert main(["dataset", *words]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1
    assert not Path("C").exists()


@pytest.mark.parametrize("play", [load_reference, lambda task: make_env(task, [0])])
def test_a_task_that_only_a_dataset_knows_is_not_played(play):
    with pytest.raises(InputError, match=r"jat/balance: known from an imported dataset alone; train .* --data"):
        play("jat/balance")
