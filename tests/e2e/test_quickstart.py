"""The quickstart reaches good scores. It takes half an hour on two cores: `make test-slow`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gato_dist.scores.table import ScoreTable
from tests.support.paths import ROOT


@pytest.mark.slow
def test_the_quickstart_reaches_most_of_its_experts(tmp_path):
    command = [str(Path(sys.executable).parent / "gato-dist"), "train", str(ROOT / "configs" / "quickstart.yaml")]
    subprocess.run([*command, "--run", str(tmp_path / "run")], check=True)
    rows = ScoreTable(tmp_path / "run" / "scores.csv").latest().values()
    assert np.mean([row.fraction for row in rows]) >= 0.6
    assert sum(row.ci_low > 0.2 for row in rows) >= 4
