"""Deaths that are forgiven, and recoveries that are told once what died works again."""

from gato_dist.telemetry import ExpertReport, GatoActorReport, Report
from gato_dist.utils import restarts as recovery
from gato_dist.utils.restarts import Deaths, Recoveries
from tests.support.fakes import learner_report


def expert(task: str, env_steps: int) -> ExpertReport:
    return ExpertReport(task=task, number=0, env_steps=env_steps)


def reports(*newest: Report) -> dict[str, Report]:
    return {report.process: report for report in newest}


def test_deaths_are_forgotten_after_a_while(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    deaths = Deaths()
    assert [deaths.add(), deaths.add()] == [1, 2]
    now[0] = recovery.WITHIN_SECONDS - 1
    assert deaths.add() == 3
    now[0] = recovery.WITHIN_SECONDS + 1
    assert deaths.count == 1


def test_a_recovery_is_told_once_and_not_for_the_last_words_of_the_dead(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    recoveries = Recoveries()
    recoveries.died("expert of a/x", "expert/a/x/0")
    for seconds, steps in ((1, 7), (2, 7), (4, 1), (5, 2)):
        now[0] = seconds
        recoveries.look(reports(expert("a/x", steps), expert("a/y", seconds)), told.append)
    assert told == ["recovered: expert of a/x after 4.0 s"]


def test_a_successor_may_report_under_a_name_of_its_own():
    told: list[str] = []
    recoveries = Recoveries()
    recoveries.died("Gato actor of a/x", "gato/a/x/")
    first = GatoActorReport(task="a/x", number=3, tokens=1)
    recoveries.look(reports(first), told.append)
    recoveries.look(reports(first, GatoActorReport(task="a/x", number=4)), told.append)
    assert len(told) == 1


def test_a_process_that_outlives_its_driver_is_no_recovery():
    told: list[str] = []
    recoveries = Recoveries()
    recoveries.died("learner", "learner")
    for began, step in ((1.0, 5), (1.0, 6), (1.0, 7)):
        recoveries.look(reports(learner_report(began=began, step=step)), told.append)
    assert not told
    recoveries.look(reports(learner_report(began=2.0, step=5)), told.append)
    assert len(told) == 1
