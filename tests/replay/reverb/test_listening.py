"""Which machines can reach a replay server. Another network namespace takes the part of another machine."""

import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import SequenceShape
from gato_dist.utils import port_filter as listening
from gato_dist.utils.port_filter import PASS, Restriction, filter_program, parse_networks, restrict_port
from replay.reverb.starting import admit, start_server
from tests.support.ordinary_user import OrdinaryUser, ordinary_user

HERE, THERE, HERE_6, THERE_6 = "10.231.7.1", "10.231.7.2", "fd73:7::1", "fd73:7::2"
OWN = ("127.0.0.1", "::1")
EVERY_NETWORK = ["0.0.0.0/0", "::/0"]
NUMBERS = itertools.count()
REFUSED = "ConnectionRefusedError"
CLIENT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.0) as found:
        found.settimeout(float(sys.argv[3]))
        print("answered" if found.recv(1) else "ended")
except TimeoutError:
    print("silence")
except OSError as error:
    print(type(error).__name__)
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def other_machine():
    """The name of a network namespace that can reach this one at HERE and HERE_6."""
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2: apt-get install iproute2")
    # A new name each time, because deletion is delayed.
    name = f"gt{os.getpid() % 10**7}-{next(NUMBERS)}"
    ours, theirs = f"{name}a", f"{name}b"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs root that may make network namespaces: {error.stderr.strip()}")
    try:
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        for address in (f"{HERE}/24", f"{HERE_6}/64"):
            ip("address", "add", address, "dev", ours, *(["nodad"] if ":" in address else []))
        for address in (f"{THERE}/24", f"{THERE_6}/64"):
            ip("-n", name, "address", "add", address, "dev", theirs, *(["nodad"] if ":" in address else []))
        ip("link", "set", ours, "up")
        ip("-n", name, "link", "set", theirs, "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


def connect(namespace: str | None, address: str, port: int, seconds: float = 1.0) -> str:
    """Returns what a client observes: `answered`, `ended`, `silence`, or the name of the connection error."""
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    command = [*prefix, sys.executable, "-c", CLIENT, address, str(port), str(seconds)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()


def test_only_admitted_machines_reach_the_replay_server(other_machine):
    server = start_server({"a": SequenceShape(length=16, tensors=2, tensor_size=3)}, ReplayConfig())
    try:
        assert {connect(other_machine, address, server.port) for address in (HERE, HERE_6)} == {REFUSED}
        assert {connect(None, address, server.port) for address in OWN} == {"answered"}
        assert server.localhost_client().server_info(timeout=10)["a"].current_size == 0
        admit(server, [THERE])
        assert connect(other_machine, HERE, server.port) == connect(None, HERE, server.port) == "answered"
        assert connect(other_machine, HERE_6, server.port) == "silence"
        admit(server, ["10.231.0.0/16", "fd73:7::/64"])
        assert {connect(other_machine, address, server.port) for address in (HERE, HERE_6)} == {"answered"}
        admit(server, EVERY_NETWORK)
        assert {connect(other_machine, address, server.port) for address in (HERE, HERE_6)} == {"answered"}
        admit(server, ["10.232.0.0/16", "fd73:8::/64"])
        assert {connect(other_machine, address, server.port) for address in (HERE, HERE_6)} == {"silence"}
    finally:
        server.stop()


def test_restricting_a_port_ends_existing_connections_of_other_machines(other_machine):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        command = ["ip", "netns", "exec", other_machine, sys.executable, "-c", CLIENT, HERE, str(port), "20"]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        accepted, _ = server.accept()
        with accepted, socket.create_connection(("127.0.0.1", port)) as own:
            restrict_port(port)
            assert client.communicate(timeout=60)[0].strip() == "ended"
            own.sendall(b"x")
            assert server.accept()[0].recv(1) == b"x"


# Each program prints its port once it is closed to other machines, and ends when its input does.
REPLAY_SERVER = """
import sys
from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import SequenceShape
from replay.reverb.starting import start_server
server = start_server({"a": SequenceShape(length=16, tensors=2, tensor_size=3)}, ReplayConfig(), sys.argv[1:])
print("port", server.port, flush=True)
sys.stdin.read()
"""
RENDEZVOUS = """
import os, sys
import torch.distributed as dist
from torch.multiprocessing import start_processes
from learner.parallel import close_rendezvous_port

def work(rank):
    os.environ.update(RANK=str(rank))
    dist.init_process_group("gloo")
    close_rendezvous_port()
    dist.barrier()
    if rank == 0:
        print("port", os.environ["MASTER_PORT"], flush=True)
        sys.stdin = open(0)
        sys.stdin.read()
    dist.barrier()

if __name__ == "__main__":
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    start_processes(work, (), 2, start_method="fork")
"""


@contextmanager
def serving(user: OrdinaryUser, code: str, *arguments: str) -> Iterator[int]:
    """Runs `code` as this user. Yields the port that it serves."""
    process = user.start(sys.executable, "-c", code, *arguments)
    output = []
    for line in process.stdout:
        output.append(line)
        if line.startswith("port "):
            break
    else:
        raise AssertionError("".join(output))
    yield int(output[-1].split()[1])
    process.communicate("", timeout=60)


@pytest.mark.parametrize("code", [REPLAY_SERVER, RENDEZVOUS], ids=["replay server", "learner's rendezvous"])
def test_no_other_machine_reaches_the_servers_of_an_ordinary_user(other_machine, code):
    with ordinary_user() as user, serving(user, code) as port:
        assert {connect(other_machine, address, port) for address in (HERE, HERE_6)} == {REFUSED}
        assert REFUSED not in {connect(None, address, port, 0.2) for address in OWN}


def test_a_cluster_server_that_admits_nobody_still_accepts_its_own_machine_at_every_address(other_machine):
    with socket.create_server((HERE, 0)) as server:
        assert restrict_port(port := server.getsockname()[1], ["127.0.0.0/8"]) is Restriction.FILTER
        assert connect(None, HERE, port, 0.2) == connect(other_machine, HERE, port) == "silence"
        # Only the connection of this machine was accepted.
        server.accept()[0].close()
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_cluster_server_is_not_bound_to_loopback_so_that_nodes_can_join():
    with socket.create_server(("", 0)) as server:
        restrict_port(server.getsockname()[1], [THERE])
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b""


def test_a_filter_is_used_if_the_kernel_cannot_bind_to_a_device(monkeypatch):
    monkeypatch.setattr(listening, "SO_BINDTODEVICE", 9999)
    with socket.create_server(("", 0)) as server:
        assert restrict_port(server.getsockname()[1]) is Restriction.FILTER


def test_without_kernel_support_a_server_starts_only_if_every_network_is_admitted(monkeypatch):
    monkeypatch.setattr(listening, "SO_ATTACH_FILTER", 9999)
    with pytest.raises(RuntimeError, match=r"replay: port \d+ cannot be kept off the network here \(.*replay\.allow="):
        start_server({"a": SequenceShape(length=16, tensors=2, tensor_size=3)}, ReplayConfig(), [THERE])
    monkeypatch.setattr(listening, "SO_BINDTODEVICE", 9999)
    with pytest.raises(RuntimeError, match=r"replay: port \d+ cannot be kept off the network here \(.*Linux 5\.7"):
        start_server({"a": SequenceShape(length=16, tensors=2, tensor_size=3)}, ReplayConfig())
    server = start_server({"a": SequenceShape(length=16, tensors=2, tensor_size=3)}, ReplayConfig(), EVERY_NETWORK)
    assert connect(None, "127.0.0.1", server.port) == "answered"
    server.stop()


def test_an_ordinary_user_cannot_reopen_a_port_that_is_bound_to_loopback():
    """Therefore a server that shall answer other machines must not be bound to loopback first."""
    code = """
import socket
from gato_dist.utils.port_filter import PortRestrictionFailed, restrict_port
with socket.create_server(("", 0)) as server:
    port = server.getsockname()[1]
    print(restrict_port(port), restrict_port(port))
    try:
        restrict_port(port, ["192.0.2.1"])
    except PortRestrictionFailed as error:
        print(error)
"""
    with ordinary_user() as user:
        _, output = user.run(sys.executable, "-c", code, timeout=60)
        assert output.count(Restriction.DEVICE) == 2
        assert "run as root (CAP_NET_ADMIN)" in output


def test_restricting_a_port_without_a_listener_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="listens"):
            restrict_port(taken.getsockname()[1])


def passes(networks: list[str], source: str, interface: int) -> bool:
    """Returns whether the filter accepts a packet from `source`. Interprets its program as the kernel does."""
    version = 6 if ":" in source else 4
    packed = socket.inet_pton(socket.AF_INET6 if version == 6 else socket.AF_INET, source)
    header = b"\0" * (12 if version == 4 else 8) + packed + b"\0" * 16
    program, position, value = filter_program(parse_networks(networks), loopback=1), 0, 0
    while True:
        code, if_true, if_false, k = program[position]
        position += 1
        if code == 0x06:
            return k == PASS
        if code == 0x20:
            known = {0xFFFFF000: 0x0800 if version == 4 else 0x86DD, 0xFFFFF008: interface}
            value = known[k] if k in known else struct.unpack_from("!I", header, k - 0xFFF00000)[0]
        elif code == 0x54:
            value &= k
        elif code == 0x05:
            position += k
        else:
            position += if_true if value == k else if_false


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        ("10.0.3.4", True), ("10.1.0.1", False), ("192.168.1.7", True), ("192.168.1.8", False), ("127.0.0.1", False),
        ("fd00:1:2:3:4::5", True), ("fd00:1:2:4::5", False), ("2001:db8::9", True), ("2001:db8::8", False),
    ],
)  # fmt: skip
def test_the_filter_distinguishes_networks(source, inside):
    networks = ["10.0.0.0/16", "192.168.1.7", "fd00:1:2:3::/64", "2001:db8::9"]
    assert passes(networks, source, interface=2) is inside
    assert passes(networks, source, interface=1)
    assert not passes([], source, interface=2)
    assert passes(["0.0.0.0/0", "::/0"], source, interface=2)
