"""An evaluator's work: score weights on tasks, job by job."""

import time
from collections.abc import Callable

from actors.coordination.evaluation import EvaluationJob, EvaluationResult
from actors.coordination.weights import LoadWeights
from actors.evaluate import Evaluator, load_state
from actors.filming import Film
from gato_dist.config.run_config import RunConfig
from gato_dist.model.gato import Gato
from gato_dist.telemetry import EvaluatorReport
from gato_dist.tokens.tokenizer import Tokenizer


class EvaluationWorker:
    """Scores evaluation jobs with one model, whose weights change only between jobs."""

    def __init__(
        self,
        name: str,
        config: RunConfig,
        tokenizer: Tokenizer,
        *,
        load_weights: LoadWeights,
        report: Callable[[EvaluatorReport], None],
        alive: Callable[[], None],
    ) -> None:
        """Makes the model.

        Args:
            name: the evaluator's name.
            config: the run's configuration.
            tokenizer: the run's tokenizer.
            load_weights: fetches published weights.
            report: called after every episode of the final evaluation.
            alive: called at every step of the environments.
        """
        self._name, self._config = name, config.evaluation
        self._load_weights, self._report = load_weights, report
        self._evaluator = Evaluator(config, tokenizer, stepped=alive, ended=self._episode_ended)
        self._model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)
        self._version = -1
        self._final_episodes: int | None = None
        self._ready = time.time()

    def report(self) -> EvaluatorReport:
        """Returns the evaluator's current state."""
        return EvaluatorReport(name=self._name, ready=self._ready, final_episodes=self._final_episodes)

    def score(self, job: EvaluationJob) -> EvaluationResult:
        """Plays the job's episodes and returns their results."""
        if job.weights.version != self._version:
            self._load_weights(job.weights, lambda state: load_state(self._model, state))
            self._version = job.weights.version
        self._final_episodes = 0 if job.final else None
        count = self._config.final_episodes if job.final else self._config.episodes
        film = Film() if job.film else None
        began = time.monotonic()
        episodes = self._evaluator.play(self._model, job.task, count, job.weights.version, film)
        self._final_episodes = None
        return EvaluationResult(
            task=job.task,
            version=job.weights.version,
            step=job.weights.step,
            returns=tuple(episode.episode_return for episode in episodes),
            successes=tuple(episode.success for episode in episodes),
            seconds=time.monotonic() - began,
            final=job.final,
            film=film.gif() if film else None,
        )

    def _episode_ended(self) -> None:
        """Reports the progress of the final evaluation, which nothing else shows."""
        if self._final_episodes is not None:
            self._final_episodes += 1
            self._report(self.report())
