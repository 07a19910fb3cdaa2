"""A checkpoint that plays episodes: loaded once per process, for evaluations, diagnoses and collections."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch

from actors.evaluate import Evaluator
from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.episode import Episode
from gato_dist.model.gato import Gato
from gato_dist.scores.references import Reference, load_reference
from gato_dist.scores.results import TaskResult
from gato_dist.tokens.fitting import check_prompt
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint import Counters, content_hash, load_for_acting, read_references


@dataclass(frozen=True)
class CheckpointRef:
    """Names a checkpoint and its content, so that a changed checkpoint is loaded again.

    Attributes:
        path: absolute path of the checkpoint's folder or exported file.
        content_hash: SHA-256 of everything that decides how the checkpoint acts, in hex; empty if there is no file.
    """

    path: Path
    content_hash: str

    @classmethod
    def of(cls, path: Path) -> "CheckpointRef":
        """Returns the reference to what `path` holds now. `load_player` reports a path that is no checkpoint."""
        return cls(path.resolve(), content_hash(path) if path.exists() else "")


@dataclass(frozen=True, kw_only=True)
class EvaluationOverrides:
    """Values that replace keys of the checkpoint's `evaluation` section. None keeps the checkpoint's value.

    Attributes:
        temperature: of the actions' sampling; 0 is greedy.
        prompt_tokens: length of the expert's demonstration before every episode; 0 shows none.
        threads: of torch and of the environments. Sums are split among threads, so another number may round otherwise.
    """

    temperature: float | None = None
    prompt_tokens: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class EpisodeScore:
    """How the episode of one seed ended. success: None if the task reports none."""

    seed: int
    episode_return: float
    success: bool | None

    @classmethod
    def of(cls, episode: Episode) -> "EpisodeScore":
        """Returns the score of a finished episode."""
        return cls(episode.provenance.seed, episode.episode_return, episode.success)


@dataclass(frozen=True, kw_only=True)
class CheckpointPlayer:
    """A loaded checkpoint that is ready to act.

    Attributes:
        config: the checkpoint's configuration, with the overrides applied.
        references: reference scores that the run used, by task.
    """

    config: RunConfig
    tokenizer: Tokenizer
    model: Gato
    counters: Counters
    evaluator: Evaluator
    references: dict[str, Reference]

    def play(self, task: str, seeds: list[int]) -> list[Episode]:
        """Plays the first episode of each seed, all together. Returns the episodes in the order of their seeds."""
        torch.set_num_threads(self.config.evaluation.threads)
        return self.evaluator.play_group(self.model, task, seeds, self.counters.weights_version)

    def reference(self, task: str) -> Reference:
        """Returns the reference scores of a task: the run's own, or else those measured on this machine.

        Raises:
            InputError: if there are none.
        """
        return self.references[task] if task in self.references else load_reference(task)

    def result(self, task: str, scores: Sequence[EpisodeScore]) -> TaskResult:
        """Returns the checkpoint's result on a task from the scores of its episodes, in any order."""
        in_order = sorted(scores, key=lambda score: score.seed)
        counters = self.counters
        returns, successes = [each.episode_return for each in in_order], [each.success for each in in_order]
        return TaskResult.of(
            task,
            returns,
            successes,
            self.reference(task),
            step=counters.step,
            weights_version=counters.weights_version,
            tokens=counters.tokens,
            seconds=counters.seconds,
        )


@lru_cache(maxsize=1)
def load_player(checkpoint: CheckpointRef, overrides: EvaluationOverrides) -> CheckpointPlayer:
    """Loads a checkpoint, or returns the player of the last call if both arguments are the same.

    Raises:
        InputError: if the path is no whole checkpoint, or the prompt is longer than half a window or holds no step.
    """
    path = checkpoint.path
    config, tokenizer, model, counters = load_for_acting(path)
    changed = {key: value for key, value in asdict(overrides).items() if value is not None}
    plain = config.model_dump(mode="json")
    config = parse_config(plain | {"evaluation": plain["evaluation"] | changed}, str(path))
    if "prompt_tokens" in changed:
        for task in tokenizer.tasks.values():
            check_prompt(config.evaluation, task.spec, tokenizer.encoding)
    return CheckpointPlayer(
        config=config,
        tokenizer=tokenizer,
        model=model,
        counters=counters,
        evaluator=Evaluator(config, tokenizer),
        references=read_references(path),
    )
