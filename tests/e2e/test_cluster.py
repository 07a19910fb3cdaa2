"""Runs on a real Ray cluster: three nodes, each with its own object store, behind a token."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gato_dist.scores.table import ScoreTable
from tests.e2e.test_train import finish
from tests.support.local_cluster import environment
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow
CONFIG = ROOT / "configs" / "cluster" / "tiny.yaml"
OURS = {"CoordinatorActor", "ReplayActor", "ExpertActor", "EvaluatorActor"}
# Prints the role of the node on which each class of actor runs, once all of them run.
ROLES = """
import json, sys, time, ray
from ray._private.state import actors
ray.init(address=sys.argv[1], log_to_driver=False)
roles = {node["NodeID"]: {"learner", "actors", "replay"} & set(node["Resources"]) for node in ray.nodes()}
seen = {}
while set(seen) < set(sys.argv[2:]):
    alive = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    found = [(actor["ActorClassName"], actor["Address"]["NodeID"]) for actor in alive]
    seen = {kind: sorted(roles[node]) for kind, node in found if kind in sys.argv[2:]}
    time.sleep(0.5)
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """Yields host:port of a cluster of three nodes, and the environment of processes that may join it."""
    folder = Path(tempfile.mkdtemp(prefix="gato-"))
    words = [sys.executable, "-m", "tests.support.local_cluster", "--nodes", "3", "--folder", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ray.address="):
            yield line.strip().partition("=")[2], os.environ | environment(folder / "auth_token")
            break
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


def python(*words: str, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env=env, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(*words: str, env: dict[str, str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "gato_dist", "train", str(CONFIG), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=env)


def test_every_kind_of_process_runs_on_its_own_node(cluster, tmp_path):
    address, env = cluster
    run = tmp_path / "run"
    process = train("--run", str(run), f"ray.address={address}", env=env)
    roles_of = json.loads(python("-c", ROLES, address, *OURS, env=env))
    output = finish(process, 1200)
    assert process.returncode == 0, output
    assert roles_of == {
        "CoordinatorActor": ["learner"], "ReplayActor": ["replay"], "ExpertActor": ["actors"],
        "EvaluatorActor": ["actors"],
    }  # fmt: skip
    rows = ScoreTable.read(run / "scores.csv")
    assert rows[-1].step == 60


def test_weights_are_sent_once_to_each_node(cluster):
    address, env = cluster
    said = python("-m", "tests.benchmarks.broadcast_nodes", address, "--megabytes", "16", "--readers", "3", env=env)
    copies = [float(times) for times in re.findall(r"taken in ([\d.]+) times", said)]
    assert copies == pytest.approx([1.0, 1.0], abs=0.02)


def test_a_run_with_a_wrong_token_is_refused_in_one_line(cluster, tmp_path):
    address, env = cluster
    for changed in ({"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"}):
        process = train("--run", str(tmp_path / "run"), f"ray.address={address}", env=env | changed)
        output = finish(process, 300)
        assert process.returncode == 2, output
        assert output.strip().splitlines()[-1].startswith("gato-dist: ray.address: "), output
        assert "Traceback" not in output


def test_a_port_that_is_in_use_on_a_node_ends_the_run_in_one_line(cluster, tmp_path):
    address, env = cluster
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        words = ("--run", str(tmp_path / "run"), f"ray.address={address}", f"replay.port={port}")
        process = train(*words, "replay.shards=1", env=env)
        output = finish(process, 300)
    assert process.returncode == 2, output
    assert output.strip().splitlines()[-1].startswith(f"gato-dist: replay.port: {port} is in use"), output
    assert "Traceback" not in output


# Starts jobs before any node offers a CPU, like a cluster whose head node does no work itself.
EMPTY_CLUSTER = """
import threading, time
from ray.cluster_utils import Cluster
from gato_dist.supervisor.jobs import run_jobs
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
jobs = iter([3, 4])
results = run_jobs(lambda job: job * job, lambda: next(jobs, None), None, cluster.address)
# Only the main thread can start nodes.
waits = threading.Thread(target=lambda: print(sorted(result for _, result in results), flush=True))
waits.start()
time.sleep(3)
cluster.add_node(num_cpus=1)
waits.join()
cluster.shutdown()
"""


def test_jobs_wait_for_the_first_node_of_a_cluster():
    done = subprocess.run([sys.executable, "-c", EMPTY_CLUSTER], capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert "[9, 16]" in done.stdout, done.stderr
    assert "no node of the cluster offers a CPU: waiting for one that joins" in done.stderr


def test_a_run_reports_at_once_what_no_node_offers_and_waits_for_it(cluster, tmp_path):
    address, env = cluster
    words = ("--run", str(tmp_path / "run"), f"ray.address={address}", "actors.resources.arms=1", "learner.gpu=true")
    process = train(*words, env=env)
    assert process.stdout is not None
    said = [next(process.stdout) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    finish(process, 120)
    assert said == [
        "learner.gpu: each learner worker reserves 1 GPU, but no node offers any: waiting for a node that joins\n",
        "actors.resources.arms: each expert reserves 1 arms, but no node offers any: waiting for a node that joins\n",
    ]
