"""Ray on one machine: it listens on loopback alone, and asks for a token."""

import os
import subprocess
import sys

import psutil
import pytest

HOST = """
import os, sys
from gato_dist.config.process_sections import RayConfig
from gato_dist.supervisor.ray_init import connect
connect(RayConfig(), 1)
import ray
print("started", ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"], flush=True)
sys.stdin.read()
ray.shutdown()
"""
CLIENT = """
import sys
from ray._raylet import GcsClient
try:
    GcsClient(sys.argv[1]).internal_kv_get(b"x", None, 5)
    print("served")
except BaseException as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def host(monkeypatch):
    """(process, address of its Ray, token). The user has turned tokens off everywhere."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOST], **pipes)
    said = next((line for line in process.stdout if line.startswith("started")), "")
    assert said, "Ray did not start"
    _, address, token = said.split()
    yield process, address, token
    process.stdin.close()
    process.wait(timeout=60)


def ask(address: str, **environment: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", CLIENT, address]
    done = subprocess.run(command, capture_output=True, text=True, env=own | environment, timeout=120)
    return done.stdout + done.stderr


def listening(process: psutil.Process) -> set[str]:
    parts = [process, *process.children(recursive=True)]
    found = set()
    for part in parts:
        try:
            found |= {each.laddr.ip for each in part.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
        except psutil.NoSuchProcess:
            continue
    return found


def test_ray_on_one_machine_listens_on_loopback_and_asks_for_its_token(host):
    process, address, token = host
    assert address.startswith("127.0.0.1:")
    assert listening(psutil.Process(process.pid)) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    with_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    assert "served" in ask(address, **with_token)
    for wrong in ({"RAY_AUTH_MODE": "disabled"}, with_token | {"RAY_AUTH_TOKEN": "0" * 64}):
        answer = ask(address, **wrong)
        assert "served" not in answer
        assert "uthenti" in answer, answer
