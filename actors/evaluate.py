"""Plays episodes to score a policy: the first episode of each held-out seed."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch

from actors.experts.demonstrator import policy_provenance
from actors.experts.registry import make_expert
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
GROUP = 16  # episodes that are played together


def load_state(model: Gato, state: State) -> None:
    """Loads published weights into a model."""
    # torch warns that arrays from the object store are read-only; they are only copied.
    with warnings.catch_warnings(action="ignore"):
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    model.load_state_dict(tensors)


class Evaluator:
    """Plays the tasks of a run on held-out seeds. Prompts are recorded once per task."""

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        stepped: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepares evaluations.

        Args:
            config: the run's configuration.
            tokenizer: the run's tokenizer.
            stepped: called after every step of the environments.
            ended: called after every episode.
        """
        self._config, self._tokenizer = config, tokenizer
        self._stepped, self._ended = stepped, ended
        self._tasks = {task.name: task for task in config.tasks}
        self._prompts: dict[str, StepTokens] = {}

    def play(self, model: Gato, task: str, count: int, version: int, film: Film | None = None) -> list[Episode]:
        """Plays episodes of one weights version.

        Args:
            model: the model with its weights.
            task: the task's name.
            count: the number of episodes.
            version: the weights version.
            film: records the first episode.

        Returns:
            The episodes in the order of their seeds.
        """
        first, *others = evaluation_groups(count)
        played = self.play_group(model, task, first, version, film)
        return played + [episode for seeds in others for episode in self.play_group(model, task, seeds, version)]

    def play_group(
        self, model: Gato, task: str, seeds: list[int], version: int, film: Film | None = None
    ) -> list[Episode]:
        """Plays the first episode of each seed, all at the same time; returns them in the order of `seeds`."""
        policy = self.policy(model, task, seeds, version)
        env: VectorEnv = make_env(task, seeds, self._config.evaluation.threads)
        if film is not None:
            env = Filmed(env, film)
        try:
            provenance, watched = policy_provenance(task, policy, version), Watched(env, self._stepped)
            played = []
            for episode in episodes(watched, policy, provenance, once=True):
                played.append(episode)
                self._ended()
        finally:
            env.close()
        return sorted(played, key=lambda episode: episode.provenance.seed)

    def policy(self, model: Gato, task: str, seeds: list[int], version: int) -> GatoPolicy:
        """Returns Gato as the run evaluates it, for one environment per seed."""
        settings = self._config.evaluation
        prompt = self._prompt(task) if settings.prompt_tokens else None
        return GatoPolicy(
            model,
            self._tokenizer.tasks[task],
            length=self._config.tokens.length,
            window_steps=self._tasks[task].window_steps,
            settings=settings,
            seeds=seeds,
            version=version,
            prompt=prompt,
        )

    def _prompt(self, task: str) -> StepTokens:
        if task not in self._prompts:
            tokenizer, tokens = self._tokenizer.tasks[task], self._config.evaluation.prompt_tokens
            self._prompts[task] = demonstration(self._tasks[task], tokenizer, tokens, self._stepped)
        return self._prompts[task]


def evaluation_groups(count: int) -> list[list[int]]:
    """Returns the held-out seeds of `count` episodes, in groups that are played together.

    The groups do not depend on how many tasks are evaluated at the same time. A model may round differently in a batch
    of another size; if two actions are nearly equal, that changes the rest of the episode.
    """
    seeds = evaluation_seeds(count)
    return [seeds[first : first + GROUP] for first in range(0, count, GROUP)]


def demonstration(
    task: TaskConfig, tokenizer: TaskTokenizer, tokens: int, stepped: Callable[[], None] = lambda: None
) -> StepTokens:
    """Records a prompt: the first steps of an episode of the expert, without noise, on a reference seed.

    Args:
        task: the task's settings.
        tokenizer: the task's tokenizer.
        tokens: the most tokens of the prompt.
        stepped: called after every step of the environment.

    Raises:
        InputError: if the first step alone has more tokens.
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
    """Yields the first episode of each seed as it ends.

    Args:
        task: the task's name.
        seeds: one per environment.
        kind: the kind of expert; None: the task's default.
        options: options of the expert, on top of the task's.
        threads: environment threads.
    """
    demonstrator = make_expert(task, seeds, threads, kind, options)
    try:
        yield from episodes(demonstrator.env, demonstrator.policy, demonstrator.provenance(), once=True)
    finally:
        demonstrator.env.close()


def evaluate_expert(
    task: str, count: int, kind: str | None = None, options: dict | None = None, seed: int = 0, threads: int = 1
) -> list[Episode]:
    """Returns `count` episodes of an expert on the reference seeds.

    Args:
        task: the task's name.
        count: the number of episodes.
        kind: the kind of expert, such as `random`; None: the task's default.
        options: options of the expert, on top of the task's.
        seed: chooses among sets of reference seeds.
        threads: environment threads.
    """
    played: list[Episode] = []
    seeds = reference_seeds(count, seed)
    for first in range(0, count, REFERENCE_BATCH):
        played += play_expert(task, seeds[first : first + REFERENCE_BATCH], kind, options, threads)
    return played
