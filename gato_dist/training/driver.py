"""The driver of a live run: once a second it collects reports and results, and updates the view and the records."""

import time
from typing import Any

import ray

from actors.coordination.evaluation import EvaluationResult
from gato_dist.config.run_config import RunConfig
from gato_dist.records.cost import CostMeter
from gato_dist.records.quarantine import Part
from gato_dist.records.run_folder import RunFolder
from gato_dist.records.usage import UsageLog
from gato_dist.scores.references import Reference
from gato_dist.scores.table import MeanPoint
from gato_dist.supervisor.system import System
from gato_dist.telemetry import Telemetry
from gato_dist.training.adaptive_weights import factors
from gato_dist.training.early_stopping import Selection, span_text
from gato_dist.training.score_log import ScoreLog
from gato_dist.training.status import Status, new_tasks
from gato_dist.training.status_updates import (
    Rates,
    update_from_replay,
    update_from_telemetry,
    update_from_usage,
    write_scalars,
)
from gato_dist.training.status_view import View
from gato_dist.training.time_left import TimeLeft
from gato_dist.utils.energy import EnergyMeter
from gato_dist.utils.signals import Interrupt
from learner.best_weights import BestWeights
from learner.checkpoint import Counters

TICK_SECONDS = 1.0


class Driver:
    """Runs one start of a run, from the first batch to the last score.

    Attributes:
        scores: all results of the run.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        references: dict[str, Reference],
        *,
        system: System,
        view: View,
        interrupt: Interrupt,
        best: BestWeights,
        began: float,
        energy: EnergyMeter,
    ) -> None:
        """Opens the records of the run.

        Args:
            config: the run's configuration.
            folder: the run's folder.
            references: the reference scores of every task.
            system: the processes of the run.
            view: shows the status.
            interrupt: raises KeyboardInterrupt in `check` if the user interrupts the run.
            best: keeps the best-scored weights.
            began: when this start of the run began, before its processes were started, by `time.monotonic`.
            energy: measures since then.
        """
        from torch.utils.tensorboard import SummaryWriter

        self._config, self._system, self._view = config, system, view
        self._interrupt, self._best = interrupt, best
        self._began, self._energy = began, energy
        self._writer = SummaryWriter(str(folder.tensorboard))
        self.scores = ScoreLog(folder, self._writer, references)
        self._usage = UsageLog(folder.usage, self._writer)
        self._cost = CostMeter(folder.cost)
        self._status = Status(tasks=new_tasks(config))
        for name, row in self.scores.table.latest().items():
            if name in self._status.tasks:
                self._status.tasks[name].score = row
        self._telemetry, self._rates = Telemetry(), Rates()
        self._selection = Selection(config.evaluation, best.fraction)
        self._scored_version: int | None = None
        self._evaluation_seconds = 0.0
        self._time_left = TimeLeft(config.evaluation.final_actors)
        # Episodes of the final evaluation whose results are still missing, by task.
        self._unscored = {task.name: config.evaluation.final_episodes for task in config.tasks}

    def learn(self) -> None:
        """Returns when the learner is done."""
        self._update_mixture()
        while self._system.learning:
            self._tick()
            time.sleep(TICK_SECONDS)
        self._tick()

    def evaluate_finally(self) -> None:
        """Returns when every task is scored with the last weights."""
        self._system.end_writers()
        for _ in range(self._config.evaluation.final_actors - self._config.evaluation.actors):
            self._system.add_evaluator()
        version: Any = ray.get(self._system.coordinator.start_final_evaluation.remote())
        self._status.phase = "final evaluation"
        self._status.final_episodes = 0, sum(self._unscored.values())
        self._time_left.begin_evaluation(time.monotonic(), self._unscored)
        while self._unscored:
            done = {result.task for result in self._tick() if result.final and result.version == version}
            for task in done | self._system.quarantine.tasks(Part.EVALUATION):
                self._unscored.pop(task, None)
            time.sleep(TICK_SECONDS if self._unscored else 0)
        self._show()

    def close(self) -> None:
        """Writes what the start took, and closes the records."""
        steps = sum(actor.env_steps for actor in self._telemetry.actors)
        self._cost.write(time.monotonic() - self._began, steps, self._telemetry.learner, self._energy.kwh())
        self._usage.write()
        self._writer.close()

    def where_time_went(self) -> str:
        """Returns seconds of this start, added up over processes; the learner's since the run began."""
        actors, learner = self._telemetry.actors, self._telemetry.learner
        play = sum(actor.play_seconds for actor in actors)
        encode = sum(actor.encode_seconds for actor in actors)
        write = sum(actor.write_seconds for actor in actors)
        trained = learner.seconds if learner else 0.0
        waited = learner.recent.wait_seconds if learner and learner.recent else 0.0
        return (
            f"seconds: environments {play:.0f}, tokens {encode:.0f}, waiting on replay {write:.0f}; "
            f"learner {trained:.0f}, for batches {waited:.0f}; "
            f"evaluation {self._evaluation_seconds:.0f}; in all {time.monotonic() - self._began:.0f}"
        )

    def _tick(self) -> list[EvaluationResult]:
        """Checks all processes, and brings view and records up to date; returns new results."""
        self._interrupt.check()
        self._energy.kwh()
        self._system.check(self._view.note)
        self._update_quarantine()
        coordinator = self._system.coordinator
        methods = (
            coordinator.telemetry,
            coordinator.newest_weights,
            coordinator.take_results,
            coordinator.take_messages,
        )
        answers: Any = ray.get([method.remote() for method in methods])
        results: list[EvaluationResult]
        self._telemetry, newest, results, messages = answers
        for message in messages:
            self._view.note(message)
        self._status.weights_version = newest.version if newest else 0
        self._system.note_recoveries(self._telemetry, self._view.note)
        if (learner := self._telemetry.learner) is not None:
            self.scores.learned(learner)
        for result in results:
            self._add_result(result)
        self._update_status()
        write_scalars(self._writer, self._status)
        self._show()
        return results

    def _update_status(self) -> None:
        status, telemetry = self._status, self._telemetry
        status.seconds = time.monotonic() - self._began
        status.lag = status.weights_version - (self._scored_version or 0)
        update_from_telemetry(status, telemetry, self._rates)
        if telemetry.learner is not None:
            self._time_left.learned(time.monotonic(), status.progress)
        self._usage.update(telemetry.mixtures, telemetry.gato_actors)
        self._usage.save(status.seconds, status.step)
        update_from_usage(status, self._usage.counts)
        if self._system.learning:
            tables, size = self._system.replay.metrics, self._config.replay.size
            update_from_replay(status, tables, telemetry.actors, self._rates, table_size=size)

    def _show(self) -> None:
        """Shows the status with the time that is left."""
        status, now = self._status, time.monotonic()
        if status.final_episodes is not None:
            total = status.final_episodes[1]
            playing = sum(evaluator.final_episodes or 0 for evaluator in self._telemetry.evaluators)
            done = total - sum(self._unscored.values()) + playing
            # An evaluator's last report may be older than the task's result: the number must not fall.
            status.final_episodes = min(max(done, status.final_episodes[0]), total), total
        status.seconds_left = self._seconds_left(now)
        self._view.show(status)

    def _seconds_left(self, now: float) -> float | None:
        """Estimates the rest of the run: of the training alone before the first score; None if unknown."""
        if self._status.final_episodes is not None:
            return self._time_left.rest_of_evaluation(now)
        training = self._time_left.training(now)
        return None if training is None else training + (self._time_left.evaluation(self._unscored) or 0.0)

    def _update_quarantine(self) -> None:
        quarantine = self._system.quarantine
        self._status.quarantined = tuple(f"{out.task} ({out.part})" for out in quarantine.entries)
        if self.scores.left_out != (left_out := quarantine.tasks(Part.EVALUATION)):
            # Means over different tasks cannot be compared, so the search for the best begins again.
            self.scores.left_out = left_out
            self._selection = Selection(self._config.evaluation, float("-inf"))

    def _add_result(self, result: EvaluationResult) -> None:
        self._status.tasks[result.task].score = self.scores.add(result, self._status.weights_version).row
        self._scored_version = max(self._scored_version or 0, result.version)
        self._evaluation_seconds += result.seconds
        self._time_left.scored(result.task, result.seconds, len(result.returns))
        self._update_mixture()
        point = self.scores.newest_mean()
        if point is not None and point.version == result.version:
            self._add_mean(point)

    def _update_mixture(self) -> None:
        """Sends the mixture's factors to the coordinator. They depend on scores.csv alone, so a resumed run has them.

        Does nothing unless `mixture.adaptive` is set.
        """
        if not self._config.mixture.adaptive:
            return
        tasks = {task.name: task.weight for task in self._config.tasks}
        found = factors(self.scores.table.rows, tasks, self._config.mixture.floor)
        weights = self._config.weights
        self._system.coordinator.set_mixture_factors.remote(tuple(found.get(name, 1.0) for name in weights))
        for name, factor in found.items():
            self._status.tasks[name].weight = weights[name] * factor

    def _add_mean(self, point: MeanPoint) -> None:
        """Keeps the weights if their mean is the best, and ends training if it is good enough or no longer grows."""
        self.scores.draw_profile()
        if self._selection.add(point) and (weights := self._system.scored_weights(point.version)) is not None:
            tokens, seconds = self.scores.place(point.step)
            counters = Counters(
                step=point.step,
                tokens=tokens,
                seconds=seconds,
                weights_version=point.version,
                skipped=self._status.skipped,
            )
            try:
                path = self._best.keep(weights, counters, point)
            except OSError as error:
                # The run goes on: there may be room for the next best weights.
                self._view.note(f"best weights not kept: {error}")
            else:
                self._view.note(f"best weights: {path}, mean fraction {point.mean:.2f} ({span_text(point)})")
        why = self._selection.why_end(point)
        if why and self._system.learning:
            self._view.note(f"training ends early: {why}")
            self._system.end_learning()
