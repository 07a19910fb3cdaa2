"""usage.json: counters over all starts of a run, in its folder, in TensorBoard and on its page."""

import pytest

from gato_dist.errors import InputError
from gato_dist.records.usage import UsageLog, gato_episodes, histogram, read_usage, sequences_by_task
from gato_dist.report.run_page import write_report
from gato_dist.sources import Source
from gato_dist.telemetry import GatoActorReport, MixtureReport
from gato_dist.training.status import Status, TaskStatus

TASK = "babyai/go-to-local"
COUNTS = {f"rows/expert/{TASK}": 30, f"rows/relabelled/{TASK}": 10, "lag/2": 10, "reuse/1": 40}


def mixture(rank: int) -> MixtureReport:
    return MixtureReport(rank=rank, counts=COUNTS)


def gato_actor(number: int) -> GatoActorReport:
    return GatoActorReport(task=TASK, number=number, episodes=6, expert_episodes=2, dropped=1, env_steps=99)


class Writer:
    def __init__(self):
        self.scalars, self.histograms = {}, {}

    def add_scalar(self, name, value, step):
        self.scalars[name] = value

    def add_histogram_raw(self, name, low, high, count, total, squares, limits, counts, step):
        self.histograms[name] = dict(zip(limits, counts, strict=True))


def test_counts_of_workers_actors_and_starts_are_summed(tmp_path):
    path, writer = tmp_path / "usage.json", Writer()
    for _ in range(2):
        log = UsageLog(path, writer)
        # The report of an actor that died is kept: its successor has another number.
        log.update([mixture(0), mixture(1)], [gato_actor(3), gato_actor(9)])
        log.save(0.0, 100)
    counts = read_usage(path)
    assert sequences_by_task(counts, Source.RELABELLED) == {TASK: 40}
    assert [gato_episodes(counts, kind)[TASK] for kind in ("episodes", "led", "dropped")] == [24, 8, 4]
    assert histogram(counts, "lag") == {2: 40}
    assert writer.scalars == {"sequences/expert": 0.75, "sequences/relabelled": 0.25, "sequences/self": 0.0}
    # Two and three versions behind are one bin, up to 3.5.
    assert {limit: n for limit, n in writer.histograms["replay/lag"].items() if n} == {3.5: 20}


def test_a_damaged_file_is_an_input_error_that_names_it(tmp_path):
    (tmp_path / "usage.json").write_text("[1, 2")
    with pytest.raises(InputError, match=r"usage\.json: damaged"):
        read_usage(tmp_path / "usage.json")


def test_page_and_status_show_sources_and_dropped_episodes(tmp_path):
    (tmp_path / "config.yaml").write_text("name: x\n")
    header = "step,weights_version,task,suite,episodes,random,expert,mean,std,fraction,ci_low,ci_high\n"
    (tmp_path / "scores.csv").write_text(header)
    log = UsageLog(tmp_path / "usage.json", Writer())
    log.update([mixture(0)], [gato_actor(3)])
    log.write()
    page = write_report(tmp_path).read_text()
    assert (
        f"<td>{TASK}</td><td>30 (75%)</td><td>10 (25%)</td><td>0 (0%)</td><td>6</td><td>0</td><td>2</td><td>1</td>"
        in page
    )
    task = TaskStatus(gato_episodes=6, gato_dropped=1)
    lines = Status(beta=0.4, sequences={"expert": 30, "relabelled": 10}, tasks={TASK: task}).lines()
    assert "Gato actors 6 episodes, 1 dropped, β 0.40 | learned from expert 75%, relabelled 25%" in " | ".join(lines)
