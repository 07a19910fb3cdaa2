"""An expert actor without Ray: it demonstrates a task until the run ends or replay refuses its sequences."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from actors.actor_context import ActorContext
from actors.demonstrate import run_expert
from gato_dist.config.run_config import parse_config
from gato_dist.sequence import Sequences
from gato_dist.telemetry import ExpertReport
from gato_dist.training.live import make_tokenizer

TASK = "babyai/go-to-obj"


class FakeRun:
    """Takes an expert's sequences and reports."""

    def __init__(self, stops_after: int, refuses: bool = False) -> None:
        self.stops_after, self.refuses = stops_after, refuses
        self.tables: list[str] = []
        self.events: list[str] = []
        self.written: list[Sequences] = []
        self.report: ExpertReport | None = None
        self.steps = 0

    def open_writer(self, table, should_stop):
        self.tables.append(table)
        self.events.append("open")
        return nullcontext(SimpleNamespace(write=self.write))

    def write(self, rows) -> bool:
        self.written.append(rows)
        return not self.refuses

    def take_report(self, report: ExpertReport) -> None:
        self.report = report
        self.steps += 1

    def context(self) -> ActorContext:
        return ActorContext(
            seed=0,
            seed_block=5,
            open_writer=self.open_writer,
            ready=lambda: self.events.append("ready"),
            report=self.take_report,
            should_stop=lambda: self.steps >= self.stops_after,
        )


def demonstrate(run: FakeRun) -> None:
    config = parse_config({"name": "x", "tasks": [{"name": TASK, "num_envs": 2}], "tokens": {"length": 64}}, "test")
    tokenizer = make_tokenizer(config).tasks[TASK]
    run_expert(config.tasks[0], tokenizer, run.context(), copy=1, actors=config.actors, tokens=config.tokens)


def test_an_expert_demonstrates_until_the_run_stops():
    run = FakeRun(stops_after=400)
    demonstrate(run)
    assert (run.tables, run.events) == ([TASK], ["open", "ready"])
    report = run.report
    assert report is not None
    assert report.process == f"expert/{TASK}/1"
    assert report.env_steps <= 800
    assert report.episodes > 0
    assert report.tokens == sum(rows.tokens for rows in run.written) > 0


def test_an_expert_ends_when_replay_refuses_its_sequences():
    run = FakeRun(stops_after=10**9, refuses=True)
    demonstrate(run)
    assert len(run.written) == 1
    assert run.report is not None
    assert run.report.tokens == pytest.approx(0)
