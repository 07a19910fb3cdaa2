"""When a task is quarantined, and what the log says about it."""

import pytest

from gato_dist.records.quarantine import Part, Quarantined, read_quarantine
from gato_dist.supervisor.quarantine import Quarantine


@pytest.fixture
def quarantine(tmp_path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine.json", tries=3)


def test_a_task_is_quarantined_after_the_configured_number_of_failures(quarantine, tmp_path):
    lines = [quarantine.failed("expert of a/b", "a/b", Part.EXPERTS, why) for why in ("died", "hangs", "died")]
    assert lines[:2] == [
        "expert of a/b died; starting it again (try 2 of 3)", "expert of a/b hangs; starting it again (try 3 of 3)"
    ]  # fmt: skip
    assert lines[2].startswith("expert of a/b died, 3 tries: a/b is quarantined from experts; ")
    assert quarantine.has("a/b", Part.EXPERTS)
    assert read_quarantine(tmp_path / "quarantine.json") == [Quarantined("a/b", "experts", 3, "died")]


@pytest.mark.parametrize(("hang_seconds", "hours"), [(600, 2), (3600, 6)])
def test_old_failures_are_forgotten(tmp_path, monkeypatch, hang_seconds, hours):
    now = 0.0
    monkeypatch.setattr("gato_dist.utils.restarts.time.monotonic", lambda: now)
    quarantine = Quarantine(tmp_path / "quarantine.json", 3, hang_seconds)
    for now in (0.0, 3600.0 * hours - 10, 3600.0 * hours, 7200.0 * hours - 5, 7200.0 * hours):
        line = quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
        assert line.endswith("(try 3 of 3)" if now else "(try 2 of 3)")
    now += 1
    quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
    assert quarantine.has("a", Part.EXPERTS)


def test_copies_of_an_expert_are_counted_separately_and_evaluators_together(quarantine):
    for copy in range(6):
        quarantine.failed(f"expert {copy} of a", "a", Part.EXPERTS, "died")
        quarantine.failed(f"evaluator {copy}", f"t{copy % 2}", Part.EVALUATION, "died")
    assert quarantine.tasks(Part.EXPERTS) == set()
    assert quarantine.tasks(Part.EVALUATION) == {"t0", "t1"}


def test_a_failure_in_a_quarantined_task_adds_no_second_entry(quarantine):
    for copy in range(4):
        line = quarantine.failed(f"evaluator {copy}", "a", Part.EVALUATION, "died")
    assert line == "evaluator 3 in a died; starting it again"
    assert len(quarantine.entries) == 1


def test_quarantined_experts_take_their_gato_actors_with_them_but_not_the_reverse(quarantine):
    for _ in range(3):
        quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
        quarantine.failed("Gato actor of b", "b", Part.GATO, "died")
    assert [quarantine.has("a", part) for part in Part] == [True, True, False]
    assert [quarantine.has("b", part) for part in Part] == [False, True, False]
    assert quarantine.tasks(Part.GATO) == {"a", "b"}


def test_a_task_is_troubled_from_the_first_failure_of_its_experts(quarantine):
    quarantine.failed("evaluator 0", "a", Part.EVALUATION, "died")
    assert quarantine.troubled(["a", "b"]) == frozenset()
    quarantine.failed("expert of b", "b", Part.EXPERTS, "died")
    assert quarantine.troubled(["a", "b"]) == {1}


@pytest.mark.parametrize(("part", "phrase"), [(Part.EXPERTS, "to learn from: a ("), (Part.EVALUATION, "to score: a (")])
def test_the_run_ends_once_every_task_is_quarantined(quarantine, part, phrase):
    for task in ("a", "b"):
        assert quarantine.why_end(["a", "b"], ["a", "b"]) is None
        for _ in range(3):
            quarantine.failed(f"actor of {task}", task, part, "failed: ValueError: no")
    end = quarantine.why_end(["a", "b"], ["a", "b"])
    assert phrase in end
    assert "b (" in end
    assert "ValueError: no" in end
    assert "--resume" in end
    # A learner that also reads a dataset or a corpus can go on without experts.
    assert (quarantine.why_end([], ["a", "b"]) is None) == (part is Part.EXPERTS)


def test_a_new_start_forgets_all_failures(quarantine, tmp_path):
    for _ in range(3):
        quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
    again = Quarantine(tmp_path / "quarantine.json", tries=3)
    assert again.entries == read_quarantine(tmp_path / "quarantine.json") == []
    assert again.failed("expert of a", "a", Part.EXPERTS, "died").endswith("(try 2 of 3)")
