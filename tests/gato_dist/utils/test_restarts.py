"""Recent failures of processes, and the time until they report metrics again."""

from gato_dist.telemetry import ExpertReport, GatoActorReport, Report
from gato_dist.utils import restarts
from gato_dist.utils.restarts import RecentFailures, RecoveryTimer
from tests.support.fakes import learner_report


def expert(task: str, env_steps: int) -> ExpertReport:
    return ExpertReport(task=task, number=0, env_steps=env_steps)


def reports(*newest: Report) -> dict[str, Report]:
    return {report.process: report for report in newest}


def test_failures_outside_the_window_do_not_count(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(restarts.time, "monotonic", lambda: now[0])
    failures = RecentFailures()
    assert [failures.add(), failures.add()] == [1, 2]
    now[0] = restarts.WINDOW_SECONDS - 1
    assert failures.add() == 3
    now[0] = restarts.WINDOW_SECONDS + 1
    assert failures.count == 1


def test_a_recovery_is_noted_once_and_not_for_metrics_from_before_the_failure(monkeypatch):
    now, notes = [0.0], []
    monkeypatch.setattr(restarts.time, "monotonic", lambda: now[0])
    recoveries = RecoveryTimer()
    recoveries.died("expert of a/x", "expert/a/x/0")
    for seconds, steps in ((1, 7), (2, 7), (4, 1), (5, 2)):
        now[0] = seconds
        recoveries.update(reports(expert("a/x", steps), expert("a/y", seconds)), notes.append)
    assert notes == ["recovered: expert of a/x after 4.0 s"]


def test_a_successor_can_report_under_another_source():
    notes: list[str] = []
    recoveries = RecoveryTimer()
    recoveries.died("Gato actor of a/x", "gato/a/x/")
    first = GatoActorReport(task="a/x", number=3, tokens=1)
    recoveries.update(reports(first), notes.append)
    recoveries.update(reports(first, GatoActorReport(task="a/x", number=4)), notes.append)
    assert len(notes) == 1


def test_a_process_that_outlives_its_driver_is_not_a_recovery():
    notes: list[str] = []
    recoveries = RecoveryTimer()
    recoveries.died("learner", "learner")
    for began, step in ((1.0, 5), (1.0, 6), (1.0, 7)):
        recoveries.update(reports(learner_report(began=began, step=step)), notes.append)
    assert not notes
    recoveries.update(reports(learner_report(began=2.0, step=5)), notes.append)
    assert len(notes) == 1
