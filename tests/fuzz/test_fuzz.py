"""A part of the inputs of `python -m tests.fuzz`; `make test-slow` runs all of them."""

import pytest

from tests.fuzz.harness import Tally, try_input
from tests.fuzz.run import fuzz


def refuse_all(count: int) -> None:
    tally = fuzz(count)
    assert tally.count == count
    assert not tally.failures, tally.failures[0].trace


def test_bad_input_of_every_kind_is_refused_or_accepted():
    refuse_all(300)


@pytest.mark.slow
def test_ten_thousand_bad_inputs_are_refused_or_accepted():
    refuse_all(10_000)


def test_the_fuzzer_detects_forbidden_outcomes(tmp_path):
    """Otherwise it would never report anything."""
    import pickle
    import subprocess

    from tests.fuzz.harness import hostile_pickle

    folder = tmp_path / "work"
    folder.mkdir()
    wrong = [
        ("KeyError", lambda: {}["x"]),
        ("escaped", lambda: (tmp_path / "outside").write_text("x")),
        ("executed", lambda: pickle.loads(hostile_pickle(folder))),
        ("escaped", lambda: subprocess.run(["true"], check=True)),
    ]
    for what, act in wrong:
        tally = Tally()
        try_input("x", act, folder, tally)
        assert [failure.what for failure in tally.failures] == [what]
