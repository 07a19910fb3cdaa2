"""Expert-score fractions, scores.csv, and references of tasks."""

import pytest

from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference, Score, load_reference
from gato_dist.scores.table import ScoreRow, ScoreTable, expert_score_fraction


def reference(random: float, expert: float) -> Reference:
    def score(mean: float) -> Score:
        return Score(
            mean=mean, std=0.0, episodes=10, seed=0, policy="p", policy_hash="h", success=None, date="2026-01-01"
        )

    return Reference(score(random), score(expert), {})


def test_the_fraction_is_zero_at_random_and_one_at_the_expert():
    assert expert_score_fraction(-21, random=-21, expert=14) == 0
    assert expert_score_fraction(14, random=-21, expert=14) == 1
    assert expert_score_fraction(-3.5, random=-21, expert=14) == pytest.approx(0.5)


def test_the_fraction_is_undefined_if_the_expert_is_no_better_than_random():
    assert expert_score_fraction(5, random=3, expert=3) is None
    row = ScoreRow.of("a/b", [5.0, 6.0], reference(3, 3), step=1, weights_version=1)
    assert (row.fraction, row.ci_low, row.ci_high) == (None, None, None)


def test_rows_are_read_from_the_file_as_they_were_written(tmp_path):
    table = ScoreTable(tmp_path / "scores.csv")
    rows = [
        ScoreRow.of("a/b", [1.0, 2.0], reference(0, 2), step=5, weights_version=1),
        ScoreRow.of("a/b", [2.0, 2.0], reference(0, 2), step=9, weights_version=2),
        ScoreRow.of("a/c", [2.0], reference(2, 2), step=9, weights_version=2),
    ]
    for row in rows:
        table.append(row)
    again = ScoreTable(tmp_path / "scores.csv")
    assert again.latest()["a/b"] == rows[1]
    assert again.rows[2].fraction is None
    assert (tmp_path / "scores.csv").read_text().splitlines()[0] == (
        "step,weights_version,task,suite,episodes,random,expert,mean,std,fraction,ci_low,ci_high"
    )


def test_a_resumed_run_removes_a_partial_last_line(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.open(RunConfig(name="x", tasks=({"name": "babyai/go-to-local"},)))
    whole = ScoreRow.of("a/b", [1.0, 2.0], reference(0, 2), step=5, weights_version=1)
    for _ in range(2):
        ScoreTable(run.scores).append(whole)
    run.scores.write_bytes(run.scores.read_bytes()[:-7])
    run.episodes.write_text("{")
    run.open(RunConfig(name="x", tasks=({"name": "babyai/go-to-local"},)))
    assert ScoreTable.read(run.scores) == [whole]
    assert not run.episodes.exists()


def test_a_file_that_is_not_a_score_table_is_refused(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"scores\.csv"):
        ScoreTable(path)


def test_the_error_of_a_missing_reference_says_how_to_measure_it():
    with pytest.raises(InputError, match="gato-dist experts score 'ale_extended/video-chess'"):
        load_reference("ale_extended/video-chess")
