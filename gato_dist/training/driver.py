"""The driver's loop: what the parts of a live run report goes to the view, TensorBoard and scores.csv."""

import time
from collections import Counter
from dataclasses import dataclass, field

from actors.coordinator import EvaluationResult
from gato_dist.config.run_config import RunConfig
from gato_dist.records.cost import CostMeter
from gato_dist.records.quarantine import Part
from gato_dist.records.run_folder import RunFolder
from gato_dist.records.usage import UsageLog, damaged_documents, gato_episodes, rows_of
from gato_dist.scores.references import Reference
from gato_dist.scores.table import MeanPoint
from gato_dist.sources import Source
from gato_dist.supervisor.system import System
from gato_dist.training.adaptive_weights import factors
from gato_dist.training.early_stopping import Selection, span_text
from gato_dist.training.score_log import ScoreLog
from gato_dist.training.status import Status, View, new_tasks
from gato_dist.training.time_left import TimeLeft
from gato_dist.utils.energy import EnergyMeter
from gato_dist.utils.signals import Interrupt
from learner.best import BestWeights
from learner.checkpoint import Counters
from replay.reverb.tables import table_task

TICK_SECONDS = 1.0


@dataclass
class _Rates:
    """Turns counters that only grow into rates over the last moments."""

    seen: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    window: float = 10.0

    def __call__(self, name: str, total: float) -> float:
        now = time.monotonic()
        history = self.seen.setdefault(name, [])
        history.append((now, total))
        while now - history[0][0] > self.window and len(history) > 2:
            history.pop(0)
        elapsed = now - history[0][0]
        return max(total - history[0][1], 0.0) / elapsed if elapsed > 0 else 0.0


class Loop:
    """One start of a run, once a second."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        references: dict[str, Reference],
        system: System,
        view: View,
        interrupt: Interrupt,
        best: BestWeights,
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._config, self._system, self._view = config, system, view
        self._interrupt = interrupt
        self._writer = SummaryWriter(str(folder.tensorboard))
        self.scores = ScoreLog(folder, self._writer, references)
        self._cost, self._energy = CostMeter(folder.cost), EnergyMeter()
        self._usage = UsageLog(folder.usage, self._writer)
        self._began = time.monotonic()
        self._rates = _Rates()
        self._status = Status(tasks=new_tasks(config))
        for name, row in self.scores.table.latest().items():
            if name in self._status.tasks:
                self._status.tasks[name].score = row
        self._scored = -1
        self._best, self._selection = best, Selection(config.evaluation, best.fraction)
        self._metrics: dict[str, dict[str, float]] = {}
        self._evaluation_seconds = 0.0
        self._left = TimeLeft(config.evaluation.final_actors)
        self._missing = {task.name: config.evaluation.final_episodes for task in config.tasks}

    def learn(self) -> None:
        """Until the learner has returned."""
        self._guide()
        while self._system.learning:
            self._tick()
            time.sleep(TICK_SECONDS)
        self._tick()

    def evaluate_finally(self) -> None:
        """Until every task is scored with the last weights."""
        import ray

        self._system.end_writers()
        for _ in range(self._config.evaluation.final_actors - self._config.evaluation.actors):
            self._system.add_evaluator()
        version = ray.get(self._system.coordinator.evaluate_finally.remote())
        self._status.phase = "final evaluation"
        self._status.final_episodes = 0, sum(self._missing.values())
        self._left.begin_evaluation(time.monotonic(), self._missing)
        while self._missing:
            done = {result.task for result in self._tick() if result.final and result.version == version}
            for task in done | self._system.quarantine.tasks(Part.EVALUATION):
                self._missing.pop(task, None)
            time.sleep(TICK_SECONDS if self._missing else 0)
        self._show()

    def close(self) -> None:
        steps = sum(values["env_steps"] for values in _actors(self._metrics).values())
        learner = self._metrics.get("learner", {})
        self._cost.write(time.monotonic() - self._began, steps, learner, self._energy.kwh())
        self._usage.write()
        self._writer.close()

    def where_time_went(self) -> str:
        """Seconds of this start, added up over processes; the learner's since the run began."""
        learner = self._metrics.get("learner", {})
        acting = _actors(self._metrics).values()
        play, encode, write = (sum(v[f"{name}_seconds"] for v in acting) for name in ("play", "encode", "write"))
        trained, waited = (learner.get(name, 0.0) for name in ("seconds", "wait_seconds"))
        return (
            f"seconds: environments {play:.0f}, tokens {encode:.0f}, waiting on replay {write:.0f}; "
            f"learner {trained:.0f}, for batches {waited:.0f}; "
            f"evaluation {self._evaluation_seconds:.0f}; in all {time.monotonic() - self._began:.0f}"
        )

    def _tick(self) -> list[EvaluationResult]:
        import ray

        self._interrupt.check()
        self._energy.kwh()
        self._system.check(self._view.note)
        self._show_quarantine()
        coordinator = self._system.coordinator
        asked = coordinator.metrics, coordinator.newest, coordinator.take_results, coordinator.take_news
        metrics, newest, results, news = ray.get([ask.remote() for ask in asked])
        for message in news:
            self._view.note(message)
        self._status.weights_version = newest.version if newest else 0
        self._system.note_recoveries(metrics, self._view.note)
        self.scores.learned(metrics.get("learner", {}))
        for result in results:
            self._score(result)
        self._status.lag = (
            self._status.weights_version - self._scored if self._scored >= 0 else self._status.weights_version
        )
        self._gather(metrics)
        if self._system.learning:
            self._gather_replay(self._system.replay.metrics, metrics)
        self._write_scalars()
        self._show()
        return results

    def _show(self) -> None:
        """With what is left to do."""
        status, now = self._status, time.monotonic()
        if status.final_episodes is not None:
            total = status.final_episodes[1]
            playing = sum(int(values.get("final_episodes", 0)) for values in _evaluators(self._metrics).values())
            done = total - sum(self._missing.values()) + playing
            # An evaluator's last word of a task may be older than the task's result.
            status.final_episodes = min(max(done, status.final_episodes[0]), total), total
        status.seconds_left = self._seconds_left(now)
        self._view.show(status)

    def _seconds_left(self, now: float) -> float | None:
        """Until the run ends, as far as it is known: before the first score, until training does."""
        if self._status.final_episodes is not None:
            return self._left.rest_of_evaluation(now)
        training = self._left.training(now)
        return None if training is None else training + (self._left.evaluation(self._missing) or 0.0)

    def _show_quarantine(self) -> None:
        quarantine = self._system.quarantine
        self._status.quarantined = tuple(f"{out.task} ({out.part})" for out in quarantine.entries)
        if self.scores.left_out != (left_out := quarantine.tasks(Part.EVALUATION)):
            # Means over other tasks do not compare: the best of these begins anew.
            self.scores.left_out = left_out
            self._selection = Selection(self._config.evaluation, float("-inf"))

    def _score(self, result: EvaluationResult) -> None:
        self._status.tasks[result.task].score = self.scores.add(result, self._status.weights_version).row
        self._scored = max(self._scored, result.version)
        self._evaluation_seconds += result.seconds
        self._left.scored(result.task, result.seconds, len(result.returns))
        self._guide()
        point = self.scores.newest_mean()
        if point is not None and point.version == result.version:
            self._weigh(point)

    def _guide(self) -> None:
        """Tells actors and learner how the mixture follows the scores: a function of scores.csv, resumed with it."""
        if not self._config.mixture.adaptive:
            return
        tasks = {task.name: task.weight for task in self._config.tasks}
        found = factors(self.scores.table.rows, tasks, self._config.mixture.floor)
        weights = self._config.weights
        self._system.coordinator.guide.remote(tuple(found.get(name, 1.0) for name in weights))
        for name, factor in found.items():
            self._status.tasks[name].weight = weights[name] * factor

    def _weigh(self, point: MeanPoint) -> None:
        """Keeps the weights of the best mean, and ends training where it has come far enough or no further."""
        self.scores.draw_profile()
        if self._selection.add(point) and (weights := self._system.scored_weights(point.version)) is not None:
            tokens, seconds = self.scores.place(point.step)
            skipped = self._status.skipped
            counters = Counters(point.step, tokens, seconds, point.version, skipped)
            try:
                path = self._best.keep(weights, counters, point)
            except OSError as error:
                # The run is worth more than these; the next ones that are better may find room.
                self._view.note(f"best weights not kept: {error}")
            else:
                self._view.note(f"best weights: {path}, mean fraction {point.mean:.2f} ({span_text(point)})")
        why = self._selection.why_end(point)
        if why and self._system.learning:
            self._view.note(f"training ends early: {why}")
            self._system.end_learning()

    def _gather(self, metrics: dict[str, dict[str, float]]) -> None:
        self._metrics |= metrics
        status = self._status
        status.seconds = time.monotonic() - self._began
        learner = metrics.get("learner", {})
        if learner:
            status.phase = "training" if status.phase == "starting" else status.phase
            status.step, status.progress = int(learner["step"]), learner["progress"]
            self._left.learned(time.monotonic(), status.progress)
            status.loss = learner.get("loss", status.loss)
            status.skipped = int(learner["skipped"])
            status.publish_seconds = learner["publish_seconds"]
            status.learner_tokens_per_second = learner.get("tokens_per_second", status.learner_tokens_per_second)
        if weights := metrics.get("weights"):
            status.use_p50, status.use_p99 = weights["use_p50"], weights["use_p99"]
        acting = _actors(metrics)
        status.env_steps_per_second = sum(self._rates(f"{n}/env", v["env_steps"]) for n, v in acting.items())
        status.tokens_in_per_second = sum(self._rates(f"{n}/tokens", v["tokens"]) for n, v in acting.items())
        for name, task in status.tasks.items():
            task.loss = learner.get(f"loss/{name}", task.loss)
            task.episodes = int(sum(v["episodes"] for n, v in acting.items() if n.startswith(f"expert/{name}/")))
        self._gather_usage(metrics)

    def _gather_usage(self, metrics: dict[str, dict[str, float]]) -> None:
        self._usage.update(metrics)
        self._usage.save(self._status.seconds, self._status.step)
        counts, status = self._usage.counts, self._status
        status.sequences = {source: sum(rows_of(counts, source).values()) for source in Source}
        status.beta = min((v["beta"] for n, v in metrics.items() if n.startswith("gato/")), default=None)
        for name, count in damaged_documents(counts).items():
            status.tasks[name].damaged = count
        for kind in ("episodes", "dropped", "imitated"):
            for name, count in gato_episodes(counts, kind).items():
                status.tasks[name].gato[kind] = count

    def _gather_replay(self, tables: dict[str, dict[str, int]], metrics: dict[str, dict[str, float]]) -> None:
        out = 0.0
        inserted: Counter[str] = Counter()
        for name, table in tables.items():
            inserted[table_task(name)] += table["inserted"]
            if name in self._status.tasks:
                self._status.tasks[name].fill = table["size"] / self._config.replay.size
        for name, table in tables.items():
            task = table_task(name)
            written = sum(v["tokens"] for n, v in _actors(metrics).items() if n.split("/", 1)[1].startswith(f"{task}/"))
            tokens_per_row = written / max(inserted[task], 1)
            out += self._rates(f"{name}/sampled", table["sampled"]) * tokens_per_row
        self._status.tokens_out_per_second = out

    def _write_scalars(self) -> None:
        status = self._status
        scalars = {
            "learner/loss": status.loss,
            "learner/skipped": status.skipped,
            "learner/tokens_per_second": status.learner_tokens_per_second,
            "learner/publish_seconds": status.publish_seconds,
            "weights/use_seconds_p50": status.use_p50,
            "weights/use_seconds_p99": status.use_p99,
            "actors/env_steps_per_second": status.env_steps_per_second,
            "replay/tokens_in_per_second": status.tokens_in_per_second,
            "replay/tokens_out_per_second": status.tokens_out_per_second,
        }
        scalars |= {f"loss/{name}": task.loss for name, task in status.tasks.items()}
        scalars |= {f"replay_fill/{name}": task.fill for name, task in status.tasks.items()}
        scalars |= {f"damaged/{name}": task.damaged for name, task in status.tasks.items() if task.damaged}
        scalars |= {f"mixture/{name}": task.weight for name, task in status.tasks.items()}
        scalars["actors/beta"] = status.beta
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, status.step)


def _evaluators(metrics: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Those of evaluators."""
    return {name: values for name, values in metrics.items() if name.startswith("evaluator")}


def _actors(metrics: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Those of experts and Gato actors."""
    return {name: values for name, values in metrics.items() if name.startswith(("expert/", "gato/"))}
