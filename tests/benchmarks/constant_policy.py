"""What a policy scores that never looks: python -m tests.benchmarks.constant_policy procgen/coinrun 8 --episodes 100"""

import argparse

import numpy as np

from actors.experts.demonstrator import policy_provenance
from actors.rollout import episodes
from gato_dist.envs.registry import make_env
from gato_dist.ports import Policy
from gato_dist.scores.references import load_reference
from gato_dist.scores.table import ScoreRow
from gato_dist.seeds import evaluation_seeds


class ConstantPolicy(Policy):
    """Always the same discrete action."""

    def __init__(self, action: int) -> None:
        self._action = action

    def reset(self, env_ids: np.ndarray) -> None:
        pass

    def act(self, observations: dict, info: dict, active: np.ndarray) -> np.ndarray:
        return np.full(len(active), self._action)

    def describe(self) -> dict:
        return {"name": f"always {self._action}", "kind": "constant"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("action", type=int)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    env, policy = make_env(options.task, evaluation_seeds(options.episodes)), ConstantPolicy(options.action)
    played = list(episodes(env, policy, policy_provenance(options.task, policy), once=True))
    returns = [episode.episode_return for episode in played]
    row = ScoreRow.of(options.task, returns, load_reference(options.task), step=0, weights_version=-1)
    print(f"{options.task}, always {options.action}: {row.mean:.2f} ± {row.std:.2f} over {row.episodes} episodes,")
    print(f"fraction {row.fraction:.2f} ({row.ci_low:.2f} … {row.ci_high:.2f})")


if __name__ == "__main__":
    main()
