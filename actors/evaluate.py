"""Scores a policy on a task: the first episode of each held-out seed."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch

from actors.experts.registry import make_expert, policy_provenance
from actors.filming import Film, Filmed
from actors.gato_policy import GatoPolicy
from actors.rollout import episodes
from actors.watched import Watched
from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.envs.registry import make_env
from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.ports import State, VectorEnv
from gato_dist.seeds import evaluation_seeds, reference_seeds
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.steps import StepTokens
from gato_dist.tokens.tokenizer import Tokenizer

REFERENCE_BATCH = 16
GROUP = 16  # episodes of an evaluation that play together


def load_state(model: Gato, state: State) -> None:
    """Weights as they were published, into a model."""
    # Arrays from the object store are read-only; loading copies them, once.
    with warnings.catch_warnings(action="ignore"):
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    model.load_state_dict(tensors)


class Evaluator:
    """Plays the tasks of a run on their evaluation seeds. Demonstrations that serve as prompts are made once."""

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        stepped: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """stepped: called at every step that environments make; ended: at the end of every episode."""
        self._config, self._tokenizer = config, tokenizer
        self._stepped, self._ended = stepped, ended
        self._tasks = {task.name: task for task in config.tasks}
        self._prompts: dict[str, StepTokens] = {}

    def play(self, model: Gato, task: str, count: int, version: int, film: Film | None = None) -> list[Episode]:
        """`count` episodes by one version of the weights, in the order of their seeds: group by group.

        film: takes the first of them.
        """
        first, *others = evaluation_groups(count)
        played = self.play_group(model, task, first, version, film)
        return played + [episode for seeds in others for episode in self.play_group(model, task, seeds, version)]

    def play_group(
        self, model: Gato, task: str, seeds: list[int], version: int, film: Film | None = None
    ) -> list[Episode]:
        """The first episode of each seed, all played together, in the order of their seeds. film: takes the first."""
        policy = self.policy(model, task, seeds, version)
        env: VectorEnv = make_env(task, seeds, self._config.evaluation.threads)
        if film is not None:
            env = Filmed(env, film)
        try:
            source, watched = policy_provenance(task, policy, version), Watched(env, self._stepped)
            played = []
            for episode in episodes(watched, policy, source, once=True):
                played.append(episode)
                self._ended()
        finally:
            env.close()
        return sorted(played, key=lambda episode: episode.provenance.seed)

    def policy(self, model: Gato, task: str, seeds: list[int], version: int) -> GatoPolicy:
        """Gato as the run evaluates it, for one environment per seed."""
        settings = self._config.evaluation
        prompt = self._prompt(task) if settings.prompt_tokens else None
        return GatoPolicy(
            model, self._tokenizer.tasks[task], self._config.tokens.length, self._tasks[task].window_steps,
            settings, seeds, version, prompt,
        )  # fmt: skip

    def _prompt(self, task: str) -> StepTokens:
        if task not in self._prompts:
            tokenizer, tokens = self._tokenizer.tasks[task], self._config.evaluation.prompt_tokens
            self._prompts[task] = demonstration(self._tasks[task], tokenizer, tokens, self._stepped)
        return self._prompts[task]


def evaluation_groups(count: int) -> list[list[int]]:
    """The seeds of `count` episodes, cut into groups that play together: the same however many play at once.

    A model may round otherwise in another batch, and an action that was a near tie turns the whole episode.
    """
    seeds = evaluation_seeds(count)
    return [seeds[first : first + GROUP] for first in range(0, count, GROUP)]


def demonstration(
    task: TaskConfig, tokenizer: TaskTokenizer, tokens: int, stepped: Callable[[], None] = lambda: None
) -> StepTokens:
    """The first steps, as many as `tokens` hold, of an undisturbed expert's episode on a reference seed.

    stepped: called at every step.
    """
    seeds, options, most = reference_seeds(1), task.expert_options, task.demonstration_steps
    demonstrator = make_expert(task.name, seeds, 1, task.expert, options, most)
    try:
        env = Watched(demonstrator.env, stepped)
        episode = next(episodes(env, demonstrator.policy, demonstrator.provenance(), once=True))
    finally:
        demonstrator.env.close()
    steps = tokenizer.encode(episode.observations, episode.actions)
    count = int(np.searchsorted(np.cumsum(steps.lengths), tokens, side="right"))
    if not count:
        raise InputError(
            f"evaluation.prompt_tokens: {tokens} hold no step of {task.name}, which takes {steps.lengths[0]}"
        )
    return steps.take(slice(0, count))


def play_expert(
    task: str, seeds: list[int], kind: str | None = None, options: dict | None = None, threads: int = 1
) -> Iterator[Episode]:
    """The first episode of each seed, as they end, by the task's expert or one of another `kind`."""
    demonstrator = make_expert(task, seeds, threads, kind, options)
    try:
        yield from episodes(demonstrator.env, demonstrator.policy, demonstrator.provenance(), once=True)
    finally:
        demonstrator.env.close()


def evaluate_expert(
    task: str, count: int, kind: str | None = None, options: dict | None = None, seed: int = 0, threads: int = 1
) -> list[Episode]:
    """`count` episodes of an expert (or `kind="random"`) on the reference seeds."""
    played: list[Episode] = []
    seeds = reference_seeds(count, seed)
    for first in range(0, count, REFERENCE_BATCH):
        played += play_expert(task, seeds[first : first + REFERENCE_BATCH], kind, options, threads)
    return played
