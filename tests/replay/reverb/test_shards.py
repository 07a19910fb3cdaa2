"""Several replay servers are one replay: everything written is read, as often wherever it lies."""

import itertools
from collections import Counter

import numpy as np
import pytest

from gato_dist.config.run_config import parse_config
from gato_dist.config.sections import ReplayConfig
from gato_dist.errors import InputError
from gato_dist.sequence import SequenceShape
from gato_dist.telemetry import TableReport
from replay.reverb.sampler import SequenceStream
from replay.reverb.shards import shard_of, shard_sequences, shards_of, start_shard, sum_metrics, take_turns
from replay.reverb.writer import SequenceWriter
from tests.replay.reverb.test_replay import address, make_rows, never

SHAPES = {"a/state": SequenceShape(16, 0, 2, 3), "b/image": SequenceShape(16, 4, 0, 0)}


@pytest.mark.parametrize(("tasks", "copies", "shards"), [(6, 1, 3), (2, 4, 3), (1, 5, 5), (3, 2, 4), (600, 16, 7)])
def test_every_server_has_as_many_experts_as_any_other(tasks, copies, shards):
    writers = Counter(shard_of(task, copy, copies, shards) for task in range(tasks) for copy in range(copies))
    assert set(writers) == set(range(shards))
    assert max(writers.values()) - min(writers.values()) <= 1


def test_a_server_of_two_experts_is_read_twice_as_often():
    order = shards_of(0, 4, 3)
    assert order == [0, 1, 2, 0]
    sources = {shard: itertools.repeat(shard) for shard in order}
    drawn = Counter(itertools.islice(take_turns([sources[shard] for shard in order]), 400))
    assert drawn == {0: 200, 1: 100, 2: 100}


def test_figures_of_a_table_are_added_up():
    one = {"a": TableReport(size=1, inserted=1, sampled=4), "b": TableReport(size=2, inserted=3, sampled=0)}
    assert sum_metrics([one, {"a": TableReport(size=10, inserted=20, sampled=1)}]) == {
        "a": TableReport(size=11, inserted=21, sampled=5), "b": one["b"]
    }  # fmt: skip


def test_more_servers_than_experts_are_refused_by_name():
    data = {"name": "x", "tasks": [{"name": "metaworld/reach-v3"}], "replay": {"shards": 2}}
    with pytest.raises(InputError, match=r"replay\.shards: 2 servers are more than the 1 experts"):
        parse_config(data, "x.yaml")


def test_placement_without_a_cluster_is_refused_by_name():
    data = {"name": "x", "tasks": [{"name": "metaworld/reach-v3"}], "actors": {"resources": {"actors": 1}}}
    with pytest.raises(InputError, match=r"actors\.resources: .*ray\.address"):
        parse_config(data, "x.yaml")


def test_two_real_servers_hold_one_table_and_every_row_is_as_likely():
    config = ReplayConfig(shards=2, size=400, ahead=300, min_size=20, samples_per_insert=100.0)
    copies = 4
    servers = [start_shard(shard, {"a/state": SHAPES["a/state"]}, config, copies) for shard in range(2)]
    addresses = [address(server) for server in servers]
    for copy in range(copies):
        shard = shard_of(0, copy, copies, 2)
        with SequenceWriter(addresses[shard], "a/state", never) as writer:
            assert writer.write(make_rows(SHAPES["a/state"], 20, 20 * copy))
    metrics = sum_metrics(server.metrics() for server in servers)
    assert metrics["a/state"].inserted == 80
    rows = SequenceStream(shard_sequences(addresses, 0, "a/state", SHAPES["a/state"], copies, reader=1)).take(1600)
    drawn = np.bincount(rows.item_id, minlength=80)
    assert drawn.min() > 0
    # From each expert's rows 400 of 1600 draws, with a standard deviation of at most 17.
    assert drawn.reshape(4, 20).sum(1) == pytest.approx([400] * 4, abs=85)
    for server in servers:
        server.stop()
