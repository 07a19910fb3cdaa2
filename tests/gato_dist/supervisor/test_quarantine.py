"""Who is left out, when, and what is said of it."""

import traceback

import pytest

from gato_dist.errors import InputError, InvalidStepError
from gato_dist.supervisor.quarantine import Part, Quarantine, Quarantined, quarantine_text, read_quarantine


@pytest.fixture
def quarantine(tmp_path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine.json", tries=3)


def test_an_actor_is_tried_again_until_its_tries_are_used_up(quarantine, tmp_path):
    said = [quarantine.failed("expert of a/b", "a/b", Part.EXPERTS, why) for why in ("died", "hangs", "died")]
    assert said[:2] == [
        "expert of a/b died; starting it again (try 2 of 3)", "expert of a/b hangs; starting it again (try 3 of 3)"
    ]  # fmt: skip
    assert said[2].startswith("expert of a/b died, 3 tries: a/b is quarantined from experts; ")
    assert quarantine.has("a/b", Part.EXPERTS)
    assert read_quarantine(tmp_path / "quarantine.json") == [Quarantined("a/b", "experts", 3, "died")]


@pytest.mark.parametrize(("hang_seconds", "hours"), [(600, 2), (3600, 6)])
def test_tries_of_long_ago_are_forgotten(tmp_path, monkeypatch, hang_seconds, hours):
    now = 0.0
    monkeypatch.setattr("gato_dist.utils.restarts.time.monotonic", lambda: now)
    quarantine = Quarantine(tmp_path / "quarantine.json", 3, hang_seconds)
    for now in (0.0, 3600.0 * hours - 10, 3600.0 * hours, 7200.0 * hours - 5, 7200.0 * hours):
        said = quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
        assert said.endswith("(try 3 of 3)" if now else "(try 2 of 3)")
    now += 1
    quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
    assert quarantine.has("a", Part.EXPERTS)


def test_copies_of_an_expert_count_apart_and_evaluators_together(quarantine):
    for copy in range(6):
        quarantine.failed(f"expert {copy} of a", "a", Part.EXPERTS, "died")
        quarantine.failed(f"evaluator {copy}", f"t{copy % 2}", Part.EVALUATION, "died")
    assert quarantine.tasks(Part.EXPERTS) == set()
    assert quarantine.tasks(Part.EVALUATION) == {"t0", "t1"}


def test_an_evaluator_that_fails_late_in_a_task_that_is_out_changes_nothing(quarantine):
    for copy in range(4):
        said = quarantine.failed(f"evaluator {copy}", "a", Part.EVALUATION, "died")
    assert said == "evaluator 3 in a died; starting it again"
    assert len(quarantine.out) == 1


def test_gato_actors_go_with_their_experts_and_not_the_other_way_round(quarantine):
    for _ in range(3):
        quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
        quarantine.failed("Gato actor of b", "b", Part.GATO, "died")
    assert [quarantine.has("a", part) for part in Part] == [True, True, False]
    assert [quarantine.has("b", part) for part in Part] == [False, True, False]
    assert quarantine.tasks(Part.GATO) == {"a", "b"}


def test_a_task_is_in_trouble_from_its_experts_first_failure_on(quarantine):
    quarantine.failed("evaluator 0", "a", Part.EVALUATION, "died")
    assert quarantine.troubled(["a", "b"]) == frozenset()
    quarantine.failed("expert of b", "b", Part.EXPERTS, "died")
    assert quarantine.troubled(["a", "b"]) == {1}


@pytest.mark.parametrize(("part", "says"), [(Part.EXPERTS, "to learn from: a ("), (Part.EVALUATION, "to score: a (")])
def test_the_run_ends_where_no_task_is_left(quarantine, part, says):
    for task in ("a", "b"):
        assert quarantine.why_end(["a", "b"], ["a", "b"]) is None
        for _ in range(3):
            quarantine.failed(f"actor of {task}", task, part, "failed: ValueError: no")
    end = quarantine.why_end(["a", "b"], ["a", "b"])
    assert says in end
    assert "b (" in end
    assert "ValueError: no" in end
    assert "--resume" in end
    # Where the learner has more than live experts, their end is not the run's.
    assert (quarantine.why_end([], ["a", "b"]) is None) == (part is Part.EXPERTS)


def test_a_new_start_gives_everybody_a_new_chance(quarantine, tmp_path):
    for _ in range(3):
        quarantine.failed("expert of a", "a", Part.EXPERTS, "died")
    again = Quarantine(tmp_path / "quarantine.json", tries=3)
    assert again.out == read_quarantine(tmp_path / "quarantine.json") == []
    assert again.failed("expert of a", "a", Part.EXPERTS, "died").endswith("(try 2 of 3)")


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / "quarantine.json"
    for text in ("[1]", "{", '[{"task": "a"}]'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"quarantine\.json: damaged"):
            read_quarantine(path)


def test_one_line_names_all_of_them():
    out = [Quarantined("a", "experts", 5, "died"), Quarantined("b", "evaluation", 5, "hangs")]
    assert quarantine_text(out) == "quarantined: a (experts: died; 5 tries); b (evaluation: hangs; 5 tries)"
    assert quarantine_text([]) == ""


def test_a_value_that_no_task_allows_leaves_its_task_out_and_ends_no_run():
    """A wrong key ends a run at once; a simulator that blows up is tried again, and then quarantined."""
    from gato_dist.supervisor.workers import mendable

    def crossed(error: Exception) -> RuntimeError:
        """As Ray quotes what an actor raised."""
        try:
            raise error
        except Exception:
            return RuntimeError(traceback.format_exc())

    assert str(mendable(crossed(InputError("replay.size: too small")))) == "replay.size: too small"
    assert mendable(crossed(InvalidStepError("a/b, rewards, step 3: nan is not finite"))) is None
