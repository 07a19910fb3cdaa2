"""Starts a Reverb server: its port, its tables, and the networks that may reach it."""

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.errors import InputError
from gato_dist.sequence import SequenceShape
from gato_dist.utils.port_filter import restrict_port
from replay.reverb.libraries import import_reverb
from replay.reverb.tables import make_table, scale_limits

MAX_PORT_ATTEMPTS = 5  # another process may take a free port between its discovery and its use
PORT_SECONDS = 10.0  # how long to wait for a port that a dead run may still hold


def start_server(
    shapes: Mapping[str, SequenceShape],
    config: ReplayConfig,
    networks: Sequence[str] = (),
    *,
    shares: Mapping[str, float] | None = None,
    checkpointer: Any = None,
) -> Any:
    """Starts a Reverb server that only this machine and `networks` can reach.

    Reverb itself listens on every interface and has no authentication.

    Args:
        shapes: table → shape of its sequences.
        config: port and limits of tables. Port 0 stands for any free port.
        networks: IP addresses or networks (CIDR) of other machines that may connect.
        shares: table → the share of it that this server holds; by default all of it.
        checkpointer: a Reverb checkpointer. Reverb deletes files in its folder. By default a temporary one.

    Returns:
        The `reverb.Server`; its `port` is the port in use.

    Raises:
        InputError: the configured port is in use.
        RuntimeError: the kernel cannot block other machines.
    """
    shares = shares or dict.fromkeys(shapes, 1.0)
    if config.port:
        _wait_for_port(config.port)
    attempts = 0
    while True:
        attempts += 1
        tables = [make_table(name, shape, scale_limits(config, shares[name])) for name, shape in shapes.items()]
        try:
            server = import_reverb().Server(tables, port=config.port or None, checkpointer=checkpointer)
        except ValueError as error:
            # Reverb has no error type for a taken port: another process took the free one that Reverb found.
            if "BuildAndStart" not in str(error) or config.port or attempts == MAX_PORT_ATTEMPTS:
                raise
        else:
            admit(server, networks)
            return server


def check_port(port: int) -> None:
    """Checks that a server can listen on a port of `replay.port` and the ports after it.

    Reverb would share the port with another Reverb server, and each connection would reach either of the two.

    Raises:
        InputError: the port is in use or not allowed.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            message = f"replay.port: {port} is in use or not allowed; give another, or 0 for free ones"
            raise InputError(message) from error


def _wait_for_port(port: int) -> None:
    """As `check_port`, but waits some seconds first: the server of a run that just died may still hold the port."""
    until = time.monotonic() + PORT_SECONDS
    while True:
        try:
            return check_port(port)
        except InputError:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def admit(server: Any, networks: Sequence[str]) -> None:
    """Sets which networks can reach a server of this process, instead of those set before.

    Args:
        server: a `reverb.Server`.
        networks: IP addresses or networks (CIDR). This machine is always admitted.

    Raises:
        RuntimeError: the kernel cannot block other machines. The server is stopped.
    """
    try:
        restrict_port(server.port, networks)
    except RuntimeError as error:
        server.stop()
        raise RuntimeError(f"replay: {error}") from error
