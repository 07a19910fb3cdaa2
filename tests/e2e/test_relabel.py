"""Gato actors beside experts, on real parts: what they write arrives, is learned from and counted."""

from pathlib import Path

import pytest

from gato_dist.records.usage import gato_episodes, histogram, read_usage, sequences_by_task
from gato_dist.sources import Source
from tests.e2e.test_train import actors_of, finish, start, wait_for_checkpoint

TASK = "babyai/go-to-red-ball-grey"
CONFIG = """
name: labels
tasks:
  - {name: babyai/go-to-red-ball-grey, num_envs: 4, window_steps: 3, relabel_steps: 20}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8}
learner: {steps: 1500, batch: 6, warmup_steps: 5, publish_seconds: 1, checkpoint_seconds: 4}
tokens: {length: 64}
replay: {size: 400, ahead: 60, min_size: 4}
relabel: {actors: 1, start: 0.0, until: 0.1}
evaluation: {episodes: 2, final_episodes: 2, every_seconds: 1, final_actors: 1}
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.yaml"
    path.write_text(CONFIG)
    return path


def test_relabelled_rows_are_learned_from_and_a_killed_gato_actor_comes_back(labels, tmp_path):
    run = tmp_path / "run"
    process = start(labels, "--run", str(run))
    wait_for_checkpoint(run, process)
    actors_of(process, "GatoActor")[0].kill()
    output = finish(process)
    assert process.returncode == 0, output
    assert f"Gato actor of {TASK} died; starting it again" in (run / "log.txt").read_text()
    counts = read_usage(run / "usage.json")
    assert gato_episodes(counts, "episodes")[TASK] > 0
    assert sequences_by_task(counts, Source.RELABELLED)[TASK] > 0
    assert sequences_by_task(counts, Source.EXPERT)[TASK] > 0
    # The last second of a run may go uncounted.
    assert sum(histogram(counts, "reuse").values()) > 0
    assert 0 < sum(histogram(counts, "lag").values()) <= sequences_by_task(counts, Source.RELABELLED)[TASK]
    assert "Relabelled" in (run / "report.html").read_text()
