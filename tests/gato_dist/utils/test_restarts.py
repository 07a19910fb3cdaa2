"""Recent failures of processes, and the time until they report metrics again."""

from gato_dist.utils import restarts
from gato_dist.utils.restarts import RecentFailures, RecoveryTimer


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
    for seconds, steps in ((1, 7.0), (2, 7.0), (4, 1.0), (5, 2.0)):
        now[0] = seconds
        recoveries.update({"expert/a/x/0": {"env_steps": steps}, "expert/a/y/0": {"env_steps": seconds}}, notes.append)
    assert notes == ["recovered: expert of a/x after 4.0 s"]


def test_a_successor_can_report_under_another_source():
    notes: list[str] = []
    recoveries = RecoveryTimer()
    recoveries.died("Gato actor of a/x", "gato/a/x/")
    recoveries.update({"gato/a/x/3": {"tokens": 1.0}}, notes.append)
    recoveries.update({"gato/a/x/3": {"tokens": 1.0}, "gato/a/x/4": {"tokens": 0.0}}, notes.append)
    assert len(notes) == 1


def test_a_process_that_outlives_its_driver_is_not_a_recovery():
    notes: list[str] = []
    recoveries = RecoveryTimer()
    recoveries.died("learner", "learner")
    for began, step in ((1.0, 5.0), (1.0, 6.0), (1.0, 7.0)):
        recoveries.update({"learner": {"began": began, "step": step}}, notes.append)
    assert not notes
    recoveries.update({"learner": {"began": 2.0, "step": 5.0}}, notes.append)
    assert len(notes) == 1
