"""Restricts a listening port of this process to some machines, for servers that bind every interface.

There are two ways, both set on the listening sockets. A socket that is bound to the loopback device (SO_BINDTODEVICE)
answers at 127.0.0.1 and ::1 alone, and refuses other machines as if nothing listened. Since Linux 5.7 every user may
bind a socket, once. If other networks are allowed, a socket filter (classic BPF, SO_ATTACH_FILTER) drops packets from
all others; some kernels require CAP_NET_ADMIN for it. Neither way distinguishes users of the same machine.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

Network = IPv4Network | IPv6Network

SO_BINDTODEVICE = socket.SO_BINDTODEVICE
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
LOOPBACK, NO_DEVICE, MAX_DEVICE_NAME = b"lo", b"", 16
# Advice if the kernel refuses.
ADVICE_FOR_LOOPBACK = "it needs Linux 5.7 or newer, or root"
ADVICE_FOR_NETWORKS = (
    "to let other machines in, run as root (CAP_NET_ADMIN), or close all incoming ports with a firewall and set "
    """replay.allow='["0.0.0.0/0","::/0"]'"""
)
MAX_INSTRUCTIONS = 4096
# Opcodes of linux/bpf_common.h and linux/filter.h: load a word, bitwise and, jump always or if equal, return.
LOAD, AND, JUMP, EQUAL, RETURN = 0x20, 0x54, 0x05, 0x15, 0x06
PROTOCOL, INTERFACE, HEADER = 0xFFFFF000, 0xFFFFF008, 0xFFF00000
VERSIONS = ((4, 0x0800, HEADER + 12), (6, 0x86DD, HEADER + 8))  # IP version, ether type, offset of the source address
PASS, DROP = 0xFFFFFFFF, 0

Instruction = tuple[int, int, int, int]


def parse_networks(texts: Iterable[str]) -> list[Network]:
    """Parses addresses and networks such as 10.0.0.0/16, and joins adjacent ones.

    Raises:
        ValueError: if a text is neither an address nor a network.
    """
    networks = [ip_network(text, strict=False) for text in texts]
    joined: list[Network] = list(collapse_addresses(each for each in networks if isinstance(each, IPv4Network)))
    return joined + list(collapse_addresses(each for each in networks if isinstance(each, IPv6Network)))


class Restriction(StrEnum):
    """How a port is closed to other machines."""

    DEVICE = "bound to the loopback device"
    FILTER = "a socket filter"
    NONE = "nothing: all are allowed"


class PortRestrictionFailed(RuntimeError):
    """The kernel refuses to restrict a port. The message says what the user can do."""


def restrict_port(port: int, networks: Iterable[str] = ()) -> Restriction:
    """Closes a port that this process serves to all machines but this one and those of `networks`.

    Connections of other machines that were accepted before are shut down. A second call replaces the networks; if the
    first call had none, this requires CAP_NET_RAW. Without networks, clients on this machine should connect to
    127.0.0.1 or ::1, because Linux attributes a connection to another local address to the device of that address.

    Args:
        port: TCP port. Every socket of this process that listens on it is restricted.
        networks: addresses and networks such as 10.0.0.0/16; empty: this machine alone, at 127.0.0.1 and ::1.

    Returns:
        How the port is closed now.

    Raises:
        PortRestrictionFailed: if the kernel refuses.
        RuntimeError: if this process does not listen on the port.
        ValueError: if a network is not one, or there are too many.
    """
    allowed = parse_networks(networks)
    listening = list(_own_sockets(port, listens=True))
    try:
        if not listening:
            raise RuntimeError(f"nothing of this process listens on port {port}")
        restriction = _restrict(listening, allowed)
    except OSError as error:
        advice = ADVICE_FOR_NETWORKS if allowed else ADVICE_FOR_LOOPBACK
        raise PortRestrictionFailed(
            f"port {port} cannot be kept off the network here ({error.strerror}); {advice}"
        ) from error
    finally:
        for each in listening:
            each.close()
    for each in _own_sockets(port, listens=False):
        with each:
            _shut_down_unless_allowed(each, allowed)
    return restriction


def _restrict(listening: list[socket.socket], allowed: list[Network]) -> Restriction:
    """Restricts sockets by the simplest way that suits. Raises OSError if the kernel refuses."""
    if {network.version for network in allowed if network.prefixlen == 0} == {4, 6}:
        for each in listening:
            _bind_to_device(each, NO_DEVICE)
            # The kernel also refuses if there is no filter.
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        return Restriction.NONE
    if allowed:
        return _filter(listening, allowed)
    try:
        for each in listening:
            _bind_to_device(each, LOOPBACK)
    except OSError:
        # Kernels before 5.7 refuse this to ordinary users, but let them attach a filter.
        return _filter(listening, allowed)
    return Restriction.DEVICE


def _filter(listening: list[socket.socket], allowed: list[Network]) -> Restriction:
    program = filter_program(allowed, socket.if_nametoindex(LOOPBACK.decode()))
    if len(program) > MAX_INSTRUCTIONS:
        raise ValueError(f"{len(allowed)} networks are more than a socket filter holds; name larger ones")
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    attached = struct.pack("HL", len(program), ctypes.addressof(buffer))
    for each in listening:
        each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        _bind_to_device(each, NO_DEVICE)
    return Restriction.FILTER


def _bind_to_device(each: socket.socket, device: bytes) -> None:
    """Binds a socket unless it is bound already: the kernel refuses an ordinary user to bind one twice."""
    bound = each.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, MAX_DEVICE_NAME).rstrip(b"\0")
    if bound != device:
        each.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device)


def filter_program(networks: list[Network], loopback: int) -> list[Instruction]:
    """Returns a BPF program that passes packets from the loopback device and from `networks`, and drops all others.

    Args:
        networks: allowed source networks.
        loopback: index of the loopback interface.

    Returns:
        Instructions: opcode, jump if true, jump if false, value.
    """
    program = [(LOAD, 0, 0, INTERFACE), (EQUAL, 0, 1, loopback), (RETURN, 0, 0, PASS)]
    for version, ether_type, source in VERSIONS:
        checks = [
            instruction
            for network in networks
            if network.version == version
            for instruction in _source_check(network, source)
        ]
        program += [(LOAD, 0, 0, PROTOCOL), (EQUAL, 1, 0, ether_type), (JUMP, 0, 0, len(checks)), *checks]
    return [*program, (RETURN, 0, 0, DROP)]


def _source_check(network: Network, source: int) -> list[Instruction]:
    """Instructions that return PASS if the source address is in the network, and otherwise continue after them."""
    words = [
        (mask, value, source + 4 * index)
        for index, (mask, value) in enumerate(
            zip(_words(network.netmask.packed), _words(network.network_address.packed), strict=True)
        )
        if mask
    ]
    checks: list[Instruction] = []
    for index, (mask, value, offset) in enumerate(words):
        to_end = 3 * (len(words) - 1 - index) + 1
        checks += [(LOAD, 0, 0, offset), (AND, 0, 0, mask), (EQUAL, 0, to_end, value)]
    return [*checks, (RETURN, 0, 0, PASS)]


def _words(address: bytes) -> tuple[int, ...]:
    return struct.unpack(f"!{len(address) // 4}I", address)


def _own_sockets(port: int, listens: bool) -> Iterator[socket.socket]:
    """Yields duplicates of this process's TCP sockets on a local port. The caller closes them."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed in the meantime
            continue
        if _matches(found, port, listens):
            yield found
        else:
            found.close()


def _matches(found: socket.socket, port: int, listens: bool) -> bool:
    internet = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not internet or found.getsockname()[1] != port:
        return False
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == listens


def _shut_down_unless_allowed(connection: socket.socket, networks: list[Network]) -> None:
    try:
        here, there = (_plain(name()[0]) for name in (connection.getsockname, connection.getpeername))
    except OSError:  # ended already
        return
    if there != here and not there.is_loopback and not any(there in network for network in networks):
        connection.shutdown(socket.SHUT_RDWR)


def _plain(text: str) -> IPv4Address | IPv6Address:
    """Parses an address. An IPv4 address that is mapped into IPv6 becomes an IPv4 address."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
