"""Doctor's checks of the network: open ports, whether ports can be closed to other machines, and Ray's token."""

import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from gato_dist.doctor.finding import Check, Finding, State
from gato_dist.utils.port_filter import PortRestrictionFailed, restrict_port

EXAMPLE_NETWORKS = ("192.0.2.0/24",)  # reserved for documentation
LISTEN_STATE = "0A"  # in /proc/net/tcp
SOCKET_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
RAY_TOKEN = Path.home() / ".ray" / "auth_token"
# How the names of a run's processes begin. They answer everyone who reaches their ports.
RUN_PROCESSES = ("ray::", "raylet", "gcs_server", "python", "gato-dist", "reverb")
SHOWN_PORTS = 8


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket.

    Attributes:
        address: IP address as text.
        port: TCP port.
        process: name of the process; empty if it belongs to another user.
    """

    address: str
    port: int
    process: str


def check_port_filters() -> list[Finding]:
    """Tries to close a port as the replay server does: to all other machines, and to all but a cluster's."""
    return [
        _check_port_filter("ports, one machine", (), "problem", "the replay server can be closed to other machines"),
        _check_port_filter(
            "ports, cluster", EXAMPLE_NETWORKS, "warning", "the replay server can be closed to all but the cluster"
        ),
    ]


def _check_port_filter(name: str, networks: Sequence[str], state_if_open: State, found: str) -> Finding:
    with socket.create_server(("", 0)) as server:
        try:
            barrier = restrict_port(server.getsockname()[1], networks)
        except PortRestrictionFailed as error:
            return Finding(name, state_if_open, str(error), "see docs/explanation/security.md")
    return Finding(name, "ok", f"{found}: {barrier}")


def check_open_ports() -> Finding:
    """Lists the ports that listen on other interfaces than loopback. Filters on these ports are not visible."""
    listeners = [listener for listener in list_listeners() if not ip_address(listener.address).is_loopback]
    if not listeners:
        return Finding("open ports", "ok", "none except on loopback")
    found = ", ".join(
        f"{listener.port} ({listener.process})" if listener.process else str(listener.port)
        for listener in listeners[:SHOWN_PORTS]
    )
    if len(listeners) > SHOWN_PORTS:
        found += f" and {len(listeners) - SHOWN_PORTS} more"
    if not any(listener.process.startswith(RUN_PROCESSES) for listener in listeners):
        return Finding("open ports", "ok", f"{found}: none belongs to a run")
    advice = "use a firewall or a private network; replay filters do not show here (docs/explanation/security.md)"
    return Finding("open ports", "warning", found, advice)


def list_listeners(tables: Iterable[str] = SOCKET_TABLES) -> list[Listener]:
    """Returns every listening TCP socket of this network namespace, sorted by port.

    Args:
        tables: files in the format of /proc/net/tcp. Missing files are skipped.
    """
    processes = _processes_by_socket()
    listeners = {
        Listener(address, port, processes.get(inode, ""))
        for table in tables
        if Path(table).exists()
        for address, port, inode in parse_listening(Path(table).read_text("utf-8"))
    }
    return sorted(listeners, key=lambda listener: (listener.port, listener.address))


def parse_listening(table: str) -> Iterator[tuple[str, int, str]]:
    """Parses the listening sockets of a table.

    Args:
        table: the text of /proc/net/tcp or /proc/net/tcp6.

    Yields:
        IP address, port and inode of each listening socket.
    """
    for line in table.splitlines()[1:]:
        columns = line.split()
        if columns[3] != LISTEN_STATE:
            continue
        digits, _, port = columns[1].partition(":")
        # Groups of four bytes in the machine's byte order.
        packed = b"".join(struct.pack("=I", int(digits[i : i + 8], 16)) for i in range(0, len(digits), 8))
        address = ip_address(packed)
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        yield str(address), int(port, 16), columns[9]


def _processes_by_socket() -> dict[str, str]:
    """Returns the names of processes by the inode of each of their sockets, as far as this user may read them."""
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text("utf-8", errors="replace").strip()
            for link in (folder / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith("socket:["):
                    processes[target.removeprefix("socket:[").removesuffix("]")] = name
        except OSError:  # the process ended, or belongs to another user
            continue
    return processes


def check_ray_token(path: Path = RAY_TOKEN) -> list[Finding]:
    """Checks that clusters ask for a token and that only this user can read it. Local runs make their own.

    Args:
        path: where Ray keeps the token by default.
    """
    findings = []
    mode = os.environ.get("RAY_AUTH_MODE")
    variable = next((name for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH") if os.environ.get(name)), None)
    if mode and mode.lower() != "token":
        found = f"RAY_AUTH_MODE={mode}: a cluster started like this obeys everyone who can reach it"
        findings.append(Finding("Ray token", "warning", found, "unset it, or set it to token on every node"))
    file = Path(os.environ["RAY_AUTH_TOKEN_PATH"]) if variable == "RAY_AUTH_TOKEN_PATH" else path
    if file.is_file() and variable != "RAY_AUTH_TOKEN" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        findings.append(Finding("Ray token", "warning", f"other users can read {file}", f"chmod 600 {file}"))
    source = variable or (str(file) if file.is_file() else None)
    clusters = f"for clusters: {source}" if source else "none for clusters; ray get-auth-token --generate makes one"
    return findings or [Finding("Ray token", "ok", f"a run on this machine makes its own; {clusters}")]


NETWORK_CHECKS = (
    Check("ports", check_port_filters),
    Check("open ports", check_open_ports),
    Check("Ray token", check_ray_token),
)
