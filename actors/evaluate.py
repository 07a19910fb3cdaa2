"""Scores a policy on a task: the first episode of each held-out seed."""

from actors.experts.registry import make_expert, policy_provenance
from actors.gato_policy import GatoPolicy
from actors.rollout import episodes
from gato_dist.config import EvaluationConfig
from gato_dist.envs.registry import make_env
from gato_dist.episode import Episode
from gato_dist.model.gato import Gato
from gato_dist.seeds import evaluation_seeds, reference_seeds
from gato_dist.tokens.layout import TaskTokenizer

REFERENCE_BATCH = 16


def evaluate_gato(
    model: Gato,
    tokenizer: TaskTokenizer,
    window_steps: int,
    settings: EvaluationConfig,
    count: int,
    version: int,
) -> list[Episode]:
    """`count` episodes on the evaluation seeds, all played together by one version of the weights."""
    seeds = evaluation_seeds(count)
    env = make_env(tokenizer.spec.name, seeds, settings.threads)
    policy = GatoPolicy(model, tokenizer, window_steps, settings, seeds, version)
    try:
        return list(episodes(env, policy, policy_provenance(env.spec.name, policy, version), once=True))
    finally:
        env.close()


def evaluate_expert(
    task: str, count: int, kind: str | None = None, options: dict | None = None, seed: int = 0, threads: int = 1
) -> list[Episode]:
    """`count` episodes of an expert (or `kind="random"`) on the reference seeds."""
    played: list[Episode] = []
    seeds = reference_seeds(count, seed)
    for first in range(0, count, REFERENCE_BATCH):
        demonstrator = make_expert(task, seeds[first : first + REFERENCE_BATCH], threads, kind, options)
        try:
            played += episodes(demonstrator.env, demonstrator.policy, demonstrator.provenance(), once=True)
        finally:
            demonstrator.env.close()
    return played
