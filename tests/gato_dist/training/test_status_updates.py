"""How reports of processes become the status of a run."""

from collections import Counter

import pytest

from gato_dist.telemetry import (
    ExpertReport,
    GatoActorReport,
    RecentTraining,
    Report,
    TableReport,
    Telemetry,
    UseDelays,
)
from gato_dist.training import status_updates
from gato_dist.training.status import Status, TaskStatus
from gato_dist.training.status_updates import (
    Rates,
    update_from_replay,
    update_from_telemetry,
    update_from_usage,
    write_scalars,
)
from tests.support.fakes import learner_report


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(status_updates.time, "monotonic", lambda: now[0])
    return now


def make_status() -> Status:
    return Status(tasks={"a/x": TaskStatus(), "a/y": TaskStatus()})


def telemetry(*reports: Report) -> Telemetry:
    delays = UseDelays(p50=1.0, p99=2.0)
    return Telemetry(reports={report.process: report for report in reports}, use_delays=delays)


def test_rates_are_over_the_window_and_zero_after_a_reset(clock):
    rates = Rates(window=10.0)
    assert rates("steps", 100) == 0.0
    clock[0] = 5.0
    assert rates("steps", 200) == 20.0
    clock[0] = 10.0
    assert rates("steps", 0) == 0.0


def test_actors_rates_are_summed_and_episodes_are_those_of_experts(clock):
    status, rates = make_status(), Rates()
    for seconds in (0.0, 2.0):
        clock[0] = seconds
        steps = int(10 * seconds)
        actors = [
            ExpertReport(task="a/x", number=0, env_steps=steps, episodes=3),
            ExpertReport(task="a/x", number=1, env_steps=steps, episodes=4, tokens=5 * steps),
            GatoActorReport(task="a/y", number=7, env_steps=steps, episodes=9, beta=0.5),
        ]
        update_from_telemetry(status, telemetry(*actors), rates)
    assert (status.env_steps_per_second, status.tokens_in_per_second) == (30.0, 50.0)
    assert [task.episodes for task in status.tasks.values()] == [7, 0]
    assert (status.beta, status.use_p50, status.use_p99) == (0.5, 1.0, 2.0)
    assert status.phase == "starting"


def test_losses_stay_if_the_learner_made_no_step(clock):
    status = make_status()
    recent = RecentTraining(
        loss=2.0, task_losses={"a/x": 1.5}, tokens_per_second=100.0, steps_per_second=1.0, wait_seconds=0.0
    )
    for report in (learner_report(step=1, recent=recent), learner_report(step=1, progress=0.5, skipped=2)):
        update_from_telemetry(status, telemetry(report), Rates())
    assert (status.phase, status.step, status.progress, status.skipped) == ("training", 1, 0.5, 2)
    assert (status.loss, status.learner_tokens_per_second) == (2.0, 100.0)
    assert [task.loss for task in status.tasks.values()] == [1.5, None]


def test_usage_gives_sources_damage_and_episodes_of_gato_actors():
    status = make_status()
    counts = {"rows/expert/a/x": 3, "rows/self/a/x": 1, "damaged/a/y": 2, "gato/episodes/a/x": 6, "gato/dropped/a/x": 1}
    update_from_usage(status, Counter(counts))
    assert status.sequences == {"expert": 3, "relabelled": 0, "self": 1}
    first, second = status.tasks.values()
    assert (first.gato_episodes, first.gato_dropped, second.damaged) == (6, 1, 2)


def test_tokens_read_from_replay_are_estimated_from_the_mean_length_of_sequences(clock):
    status, rates = make_status(), Rates()
    actors = [ExpertReport(task="a/x", number=0, tokens=1000)]
    for seconds in (0.0, 2.0):
        clock[0] = seconds
        table = TableReport(size=25, inserted=10, sampled=int(4 * seconds))
        update_from_replay(status, {"a/x": table}, actors, rates, table_size=100)
    assert status.tokens_out_per_second == pytest.approx(4.0 * 100)
    assert status.tasks["a/x"].fill == 0.25


def test_values_that_are_unknown_are_not_written_to_tensorboard():
    written: dict[str, float] = {}

    class Writer:
        def add_scalar(self, tag, value, step) -> None:
            written[tag] = value

    write_scalars(Writer(), make_status())
    assert "learner/loss" not in written
    assert written["replay_fill/a/x"] == 0.0
