"""A live run by a user without any privilege, whose environment names a web proxy."""

import sys

from gato_dist.scores.table import ScoreTable
from tests.support.ordinary_user import ordinary_user

CONFIG = """
name: tiny
tasks:
  - {name: babyai/go-to-red-ball-grey, num_envs: 4, window_steps: 4}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64}
learner: {steps: 40, batch: 6, warmup_steps: 5, publish_seconds: 3, checkpoint_seconds: 4}
replay: {size: 400, max_sequences_ahead: 60, min_size: 4}
evaluation: {episodes: 2, final_episodes: 2, every_seconds: 1, final_actors: 1}
"""


def test_an_unprivileged_user_behind_a_proxy_trains_live():
    with ordinary_user() as user:
        # Nothing listens at this address.
        user.environment |= dict.fromkeys(
            ("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9"
        )
        (user.home / "tiny.yaml").write_text(CONFIG)
        code, output = user.run(sys.executable, "-m", "gato_dist", "train", "tiny.yaml", "--run", "run")
        assert code == 0, output
        rows = ScoreTable.read(user.home / "run/scores.csv")
        assert rows[-1].step == 40
