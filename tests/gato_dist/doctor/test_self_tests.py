"""Doctor's self-tests in their own processes, on the machine that runs the tests."""

from gato_dist.doctor.self_tests import (
    Outcome,
    check_reverb,
    check_suite,
    first_tasks,
    make_self_tests,
    run_in_process,
)


def test_there_is_a_self_test_of_reverb_and_one_per_suite():
    assert [check.name for check in make_self_tests()] == ["Reverb", *first_tasks()]


def test_a_failure_and_a_timeout_are_reported():
    failed = run_in_process("metaworld/none", 60)
    assert not failed.passed
    assert not failed.package_missing
    assert "metaworld/none" in failed.message
    assert run_in_process("metaworld/reach-v3", 0.01) == Outcome(False, "gave no answer within 0 s")


def test_a_missing_package_is_reported_as_missing(tmp_path, monkeypatch):
    (tmp_path / "reverb").mkdir()
    (tmp_path / "reverb" / "__init__.py").write_text("raise ImportError('no reverb here')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = run_in_process("reverb", 60)
    assert outcome.package_missing
    assert "no reverb here" in outcome.message


def test_a_suite_and_reverb_work_on_this_machine():
    assert check_suite("metaworld", "metaworld/reach-v3").state == "ok"
    assert check_reverb().state == "ok"
