"""What doctor says of the network: who listens, whether ports can be closed, and Ray's token."""

import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from gato_dist.doctor.finding import Finding, State
from gato_dist.utils.port_filter import PortStaysOpen, answer_only

SOME_NETWORK = ("192.0.2.0/24",)  # of documentation's addresses
LISTENS = "0A"  # the state in /proc/net/tcp
TOKEN = Path.home() / ".ray" / "auth_token"
# Names of processes, or their beginnings, that answer whoever asks.
OURS = ("ray::", "raylet", "gcs_server", "python", "gato-dist", "reverb")


@dataclass(frozen=True)
class Listener:
    """address: as text. process: its name, empty where it is another user's."""

    address: str
    port: int
    process: str


def closed_ports() -> list[Finding]:
    """Tries on ports of its own what keeps the replay server off the network: of one machine, and of a cluster."""
    return [
        _closed("ports, one machine", (), "problem", "the replay server answers this machine alone"),
        _closed("ports, cluster", SOME_NETWORK, "warning", "the replay server answers the cluster's nodes alone"),
    ]


def _closed(name: str, networks: tuple[str, ...], state: State, said: str) -> Finding:
    with socket.create_server(("", 0)) as server:
        try:
            barrier = answer_only(server.getsockname()[1], networks)
        except PortStaysOpen as error:
            found, _, advice = str(error).partition("; ")
            return Finding(name, state, found, f"{advice}: docs/runbook.md")
    return Finding(name, "ok", f"{said}: {barrier}")


def open_ports() -> Finding:
    """What listens on other interfaces than loopback. What keeps others off a socket is not told there."""
    found = [each for each in listeners() if not ip_address(each.address).is_loopback]
    if not found:
        return Finding("open ports", "ok", "none but on loopback")
    said = ", ".join(f"{each.port}{f' ({each.process})' if each.process else ''}" for each in found[:8])
    said += f" and {len(found) - 8} more" if len(found) > 8 else ""
    if not any(each.process.startswith(OURS) for each in found):
        return Finding("open ports", "ok", f"{said}: none of them a run's")
    return Finding(
        "open ports", "warning", said,
        "a firewall, or a private network; what closes a replay server's does not show here (docs/runbook.md)",
    )  # fmt: skip


def listeners(tables: Iterable[str] = ("/proc/net/tcp", "/proc/net/tcp6")) -> list[Listener]:
    """Every listening TCP socket of this network namespace, by port."""
    holders = _holders()
    found = {
        Listener(address, port, holders.get(inode, ""))
        for table in tables
        if Path(table).exists()
        for address, port, inode in parse_listening(Path(table).read_text("utf-8"))
    }
    return sorted(found, key=lambda each: (each.port, each.address))


def parse_listening(table: str) -> Iterator[tuple[str, int, str]]:
    """(address, port, inode) of the listening sockets in the text of /proc/net/tcp or tcp6."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if words[3] != LISTENS:
            continue
        digits, _, port = words[1].partition(":")
        # Groups of four bytes, each in the machine's own order.
        packed = b"".join(struct.pack("=I", int(digits[i : i + 8], 16)) for i in range(0, len(digits), 8))
        address = ip_address(packed)
        yield str(getattr(address, "ipv4_mapped", None) or address), int(port, 16), words[9]


def _holders() -> dict[str, str]:
    """Names of the processes that hold sockets, by inode, as far as this user may know."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text("utf-8", errors="replace").strip()
            for link in (folder / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith("socket:["):
                    found[target[8:-1]] = name
        except OSError:  # another user's, or ended
            continue
    return found


def ray_token(path: Path = TOKEN) -> list[Finding]:
    """A run on one machine makes a token of its own; this is of clusters, and of what others can read."""
    found = []
    mode = os.environ.get("RAY_AUTH_MODE")
    given = next((name for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH") if os.environ.get(name)), None)
    if mode and mode.lower() != "token":
        said = f"RAY_AUTH_MODE={mode}: a cluster started so obeys whoever reaches it"
        found.append(Finding("Ray token", "warning", said, "unset it, or set it to token on every node"))
    file = Path(os.environ["RAY_AUTH_TOKEN_PATH"]) if given == "RAY_AUTH_TOKEN_PATH" else path
    if file.is_file() and given != "RAY_AUTH_TOKEN" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        found.append(Finding("Ray token", "warning", f"every user may read {file}", f"chmod 600 {file}"))
    source = given or (str(file) if file.is_file() else None)
    said = f"for clusters: {source}" if source else "none for clusters; ray get-auth-token --generate makes one"
    return found or [Finding("Ray token", "ok", f"a run on this machine makes its own; {said}")]


NETWORK_CHECKS = (closed_ports, open_ports, ray_token)
