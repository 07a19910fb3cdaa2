"""The whole circle as a user without any right, on a machine whose shared folders hold another user's files."""

import sys
import tempfile
from pathlib import Path

from gato_dist.scores import ScoreTable
from tests.ordinary_user import ordinary_user

CONFIG = """
name: tiny
tasks:
  - {name: babyai/go-to-red-ball-grey, num_envs: 4, window_steps: 4}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64}
learner: {steps: 40, batch: 6, warmup_steps: 5, publish_seconds: 3, checkpoint_seconds: 4}
replay: {size: 400, ahead: 60, min_size: 4}
evaluation: {episodes: 2, final_episodes: 2, every_seconds: 1, final_actors: 1}
"""


def test_a_user_without_any_right_trains_live():
    with ordinary_user() as user:
        (user.home / "tiny.yaml").write_text(CONFIG)
        process = user.start(sys.executable, "-m", "gato_dist", "train", "tiny.yaml", "--run", "run")
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        rows = ScoreTable.read(user.home / "run/scores.csv")
        assert rows[-1].step == 40
        assert user.home.stat().st_uid == (user.home / "run/checkpoints").stat().st_uid
    assert not Path(tempfile.gettempdir(), user.home.name).exists()
