"""What a run's sequences were, over all of its starts, in its folder and on its page."""

import pytest

from gato_dist.errors import InputError
from gato_dist.records.usage import UsageLog, gato_episodes, histogram, read_usage, rows_of
from gato_dist.report.run_page import write_report
from gato_dist.sources import Source
from gato_dist.training.status import Status, TaskStatus

TASK = "babyai/go-to-local"
MIXTURE = {f"rows/expert/{TASK}": 30.0, f"rows/relabelled/{TASK}": 10.0, "lag/2": 10.0, "reuse/1": 40.0}
ACTOR = {"episodes": 6.0, "led": 2.0, "dropped": 1.0, "imitated": 0.0, "env_steps": 99.0}


class Writer:
    def __init__(self):
        self.scalars, self.histograms = {}, {}

    def add_scalar(self, name, value, step):
        self.scalars[name] = value

    def add_histogram_raw(self, name, low, high, count, total, squares, limits, counts, step):
        self.histograms[name] = dict(zip(limits, counts, strict=True))


def test_counts_of_workers_actors_and_starts_are_added_up(tmp_path):
    path, writer = tmp_path / "usage.json", Writer()
    for _ in range(2):
        log = UsageLog(path, writer)
        # The coordinator keeps what an actor told before it died; the one that took its place has another name.
        metrics = {"mixture/0": MIXTURE, "mixture/1": MIXTURE, f"gato/{TASK}/3": ACTOR, f"gato/{TASK}/9": ACTOR}
        log.update(metrics | {"expert/x/0": {"env_steps": 1.0}})
        log.save(0.0, 100)
    counts = read_usage(path)
    assert rows_of(counts, Source.RELABELLED) == {TASK: 40}
    assert [gato_episodes(counts, kind)[TASK] for kind in ("episodes", "led", "dropped")] == [24, 8, 4]
    assert histogram(counts, "lag") == {2: 40}
    assert writer.scalars == {"sequences/expert": 0.75, "sequences/relabelled": 0.25, "sequences/self": 0.0}
    # Two and three versions behind are one bin, up to 3.5.
    assert {limit: n for limit, n in writer.histograms["replay/lag"].items() if n} == {3.5: 20}


def test_a_damaged_file_is_refused_by_name(tmp_path):
    (tmp_path / "usage.json").write_text("[1, 2")
    with pytest.raises(InputError, match=r"usage\.json: damaged"):
        read_usage(tmp_path / "usage.json")


def test_the_page_and_the_status_tell_sources_and_dropped_episodes(tmp_path):
    (tmp_path / "config.yaml").write_text("name: x\n")
    header = "step,weights_version,task,suite,episodes,random,expert,mean,std,fraction,ci_low,ci_high\n"
    (tmp_path / "scores.csv").write_text(header)
    log = UsageLog(tmp_path / "usage.json", Writer())
    log.update({"mixture/0": MIXTURE, f"gato/{TASK}/3": ACTOR})
    log.write()
    page = write_report(tmp_path).read_text()
    assert (
        f"<td>{TASK}</td><td>30 (75%)</td><td>10 (25%)</td><td>0 (0%)</td><td>6</td><td>0</td><td>2</td><td>1</td>"
        in page
    )
    task = TaskStatus(gato={"episodes": 6, "dropped": 1})
    lines = Status(beta=0.4, sequences={"expert": 30, "relabelled": 10}, tasks={TASK: task}).lines()
    assert "Gato actors 6 episodes, 1 dropped, β 0.40 | learned from expert 75%, relabelled 25%" in " | ".join(lines)
