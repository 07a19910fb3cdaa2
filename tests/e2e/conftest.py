"""The configuration of a small run: three suites, real Ray, Reverb and envpool, and a model that trains for seconds."""

from pathlib import Path

import pytest

CONFIG = """
name: small
tasks:
  - {name: metaworld/reach-v3, num_envs: 2, demonstration_steps: 60}
  - {name: procgen/coinrun, num_envs: 2}
  - {name: babyai/go-to-red-ball-grey, num_envs: 4, window_steps: 4}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8}
learner: {steps: 60, batch: 6, warmup_steps: 5, publish_seconds: 3, checkpoint_seconds: 4}
tokens: {prompt_share: 0.25, prompt_tokens: 48}
replay: {size: 400, max_sequences_ahead: 60, min_size: 4}
evaluation: {episodes: 2, final_episodes: 2, every_seconds: 1, final_actors: 1}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return path
