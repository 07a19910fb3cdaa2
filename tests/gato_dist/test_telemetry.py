"""Reports of processes: their names, and how a restart shows."""

from gato_dist.telemetry import EvaluatorReport, ExpertReport, GatoActorReport, MixtureReport, TableReport, Telemetry
from tests.support.fakes import learner_report


def test_every_process_has_a_name_of_its_own():
    reports = [
        ExpertReport(task="a/x", number=0),
        ExpertReport(task="a/x", number=1),
        GatoActorReport(task="a/x", number=0),
        learner_report(),
        MixtureReport(rank=0, counts={}),
        EvaluatorReport(name="evaluator 0", ready=0.0),
    ]
    assert [report.process for report in reports] == [
        "expert/a/x/0",
        "expert/a/x/1",
        "gato/a/x/0",
        "learner",
        "mixture/0",
        "evaluator 0",
    ]


def test_telemetry_sorts_reports_by_kind():
    expert, gato, learner = ExpertReport(task="a", number=0), GatoActorReport(task="a", number=0), learner_report()
    telemetry = Telemetry(reports={report.process: report for report in (gato, learner, expert)})
    assert (telemetry.experts, telemetry.gato_actors, telemetry.learner) == ([expert], [gato], learner)
    assert telemetry.actors == [expert, gato]
    assert (telemetry.evaluators, telemetry.mixtures) == ([], [])


def test_a_learners_progress_is_no_evidence_of_a_restart():
    before, after = learner_report(step=1, began=3.0), learner_report(step=2, began=3.0)
    assert before.evidence_of_start == after.evidence_of_start
    assert before.evidence_of_start != learner_report(step=1, began=4.0).evidence_of_start


def test_counters_of_tables_can_be_added():
    total = TableReport(size=1, inserted=2, sampled=3) + TableReport(size=10, inserted=20, sampled=30)
    assert total == TableReport(size=11, inserted=22, sampled=33)
