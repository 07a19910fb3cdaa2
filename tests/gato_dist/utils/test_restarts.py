"""RecentFailures that are forgiven, and recoveries that are told once what died works again."""

from gato_dist.utils import restarts as recovery
from gato_dist.utils.restarts import RecentFailures, RecoveryTimer


def test_deaths_are_forgotten_after_a_while(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    deaths = RecentFailures()
    assert [deaths.add(), deaths.add()] == [1, 2]
    now[0] = recovery.WINDOW_SECONDS - 1
    assert deaths.add() == 3
    now[0] = recovery.WINDOW_SECONDS + 1
    assert deaths.count == 1


def test_a_recovery_is_told_once_and_not_for_the_last_words_of_the_dead(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    recoveries = RecoveryTimer()
    recoveries.died("expert of a/x", "expert/a/x/0")
    for seconds, steps in ((1, 7.0), (2, 7.0), (4, 1.0), (5, 2.0)):
        now[0] = seconds
        recoveries.update({"expert/a/x/0": {"env_steps": steps}, "expert/a/y/0": {"env_steps": seconds}}, told.append)
    assert told == ["recovered: expert of a/x after 4.0 s"]


def test_a_successor_may_report_under_a_name_of_its_own():
    told: list[str] = []
    recoveries = RecoveryTimer()
    recoveries.died("Gato actor of a/x", "gato/a/x/")
    recoveries.update({"gato/a/x/3": {"tokens": 1.0}}, told.append)
    recoveries.update({"gato/a/x/3": {"tokens": 1.0}, "gato/a/x/4": {"tokens": 0.0}}, told.append)
    assert len(told) == 1


def test_a_process_that_outlives_its_driver_is_no_recovery():
    told: list[str] = []
    recoveries = RecoveryTimer()
    recoveries.died("learner", "learner")
    for began, step in ((1.0, 5.0), (1.0, 6.0), (1.0, 7.0)):
        recoveries.update({"learner": {"began": began, "step": step}}, told.append)
    assert not told
    recoveries.update({"learner": {"began": 2.0, "step": 5.0}}, told.append)
    assert len(told) == 1
