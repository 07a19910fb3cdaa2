"""`ray up configs/cluster/onprem.yaml` on separate hosts, a job that is submitted over SSH, and `ray down`."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.replay.reverb.test_listening import CLIENT
from tests.support.namespaces import Host, missing, network, until

pytestmark = pytest.mark.slow
ADDRESSES = {
    "desk": "10.0.0.9/24", "gato-head": "10.0.0.1/24", "replay-1": "10.0.0.2/24", "actors-1": "10.0.0.3/24",
    "stranger": "10.0.0.66/24",
}  # fmt: skip
OURS = {"CoordinatorActor", "ReplayActor", "ExpertActor", "EvaluatorActor"}
PORT = 8000
SHELL = "cd ~/gato-dist; export PATH=$PWD/.venv/bin:$PATH RAY_AUTH_MODE=token"
SUBMIT = f"""
ray dashboard configs/cluster/onprem.yaml > ~/dashboard.log 2>&1 &
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265
until curl -s http://127.0.0.1:8265/api/version; do sleep 1; done
echo; curl -s http://127.0.0.1:8265/api/jobs/; echo
ray job submit -- bash -c 'exec gato-dist train ~/gato-dist/configs/cluster/tiny.yaml --run ~/runs/tiny \\
    replay.port={PORT}'
status=$?; kill %1; exit $status
"""
# Prints the host on which each class of actor was seen while a job runs.
HOSTS = """
import json, sys, time, ray
from ray._private.state import actors
ray.init(address="auto", log_to_driver=False)
hosts = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
seen = {}
while set(seen) < set(sys.argv[1:]):
    for actor in actors().values():
        if actor["State"] == "ALIVE" and actor["ActorClassName"] in sys.argv[1:]:
            seen[actor["ActorClassName"]] = hosts[actor["Address"]["NodeID"]]
    time.sleep(0.5)
print(json.dumps(seen))
"""


def say(host: Host, script: str, seconds: float = 900.0) -> str:
    done = host.run(f"{SHELL}; {script}", timeout=seconds)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def knock(host: Host, address: str, port: int) -> str:
    return host.run(f"python3 -c '{CLIENT}' {address} {port} 3").stdout.strip()


def nodes(head: Host) -> int:
    """Returns how many nodes the cluster has."""
    program = 'import ray; ray.init("auto", log_to_driver=False); print("nodes", sum(n["Alive"] for n in ray.nodes()))'
    said = head.run(f"{SHELL}; python -c '{program}'").stdout
    return int(said.rpartition("nodes ")[2] or 0)


def up(hosts: dict[str, Host]) -> None:
    """Starts the cluster, and tries again if a busy machine was too slow for Ray's own deadlines, as a user would."""
    desk = hosts["desk"]
    say(desk, "ray get-auth-token --generate && chmod 600 ~/.ray/auth_token")
    for _ in range(4):
        last = desk.run(f"{SHELL}; ray up -y configs/cluster/onprem.yaml", timeout=1200)
        if last.returncode == 0:
            try:
                until(lambda: nodes(hosts["gato-head"]) == 3, 240)
                return
            except TimeoutError:
                continue
    raise AssertionError(last.stdout[-6000:] + last.stderr[-3000:])


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, Host]]:
    if (why := missing()) is not None:
        pytest.skip(why)
    with network(ADDRESSES, desk="desk") as made:
        up(made)
        yield made


def test_a_submitted_job_uses_every_host_and_is_closed_to_other_machines(hosts):
    head, stranger = hosts["gato-head"], hosts["stranger"]
    job = subprocess.Popen(
        hosts["desk"].command(f"{SHELL}; {SUBMIT}"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        seen = json.loads(say(head, f"python -c '{HOSTS}' {' '.join(OURS)} 2>/dev/null").splitlines()[-1])
        replay = hosts["replay-1"].address
        found = {name: {knock(hosts[name], replay, PORT + n) for n in (0, 1)} for name in ("actors-1", "stranger")}
    finally:
        output, _ = job.communicate(timeout=1800)
    assert job.returncode == 0, output
    assert seen == {
        "CoordinatorActor": "gato-head", "ReplayActor": "replay-1", "ExpertActor": "actors-1",
        "EvaluatorActor": "actors-1",
    }  # fmt: skip
    assert found == {"actors-1": {"answered"}, "stranger": {"silence"}}
    assert "Unauthorized: Missing authentication token" in output
    assert "succeeded" in output
    assert head.run("tail -n 1 ~/runs/tiny/scores.csv").stdout.startswith("60,")
    assert knock(stranger, head.address, 8265) == "ConnectionRefusedError"


def test_a_client_without_the_token_is_refused(hosts):
    address = f"{hosts['gato-head'].address}:6379"
    for mode in ("RAY_AUTH_MODE=disabled", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=" + "0" * 64):
        done = hosts["stranger"].run(f"{SHELL}; {mode} ray status --address {address}", timeout=300)
        assert done.returncode != 0
        assert "AuthenticationError" in done.stderr, done.stderr


def test_ray_down_and_ray_stop_leave_nothing_running(hosts):
    """`ray down` stops only the head of such a cluster; the user stops the other hosts with `ray stop`."""
    say(hosts["desk"], "ray down -y configs/cluster/onprem.yaml")
    for name in ("replay-1", "actors-1"):
        ssh = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        say(hosts["desk"], f"{ssh} gato@{hosts[name].address} '~/gato-dist/.venv/bin/ray stop'")
    for name in ("gato-head", "replay-1", "actors-1"):
        try:
            until(lambda host=hosts[name]: not host.processes(), 120)
        except TimeoutError as error:
            raise AssertionError(f"{name}: {hosts[name].processes()}") from error
