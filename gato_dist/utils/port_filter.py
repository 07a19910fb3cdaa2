"""Which machines a listening port of this process answers: for servers that bind every interface.

Two ways, both on the listening sockets themselves. Bound to the loopback device (SO_BINDTODEVICE), a socket
answers at 127.0.0.1 and ::1 alone, and other machines are refused as if nobody listened: since Linux 5.7 every user
may do that, once. Where other networks are allowed, a socket filter (classic BPF, SO_ATTACH_FILTER) drops packets from
elsewhere; some kernels want CAP_NET_ADMIN for it. Users of the same machine are not told apart.
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
LOOPBACK, NO_DEVICE, LONGEST_DEVICE = b"lo", b"", 16
# What a user can do if the kernel refuses.
FOR_ONE_MACHINE = "it needs Linux 5.7 or newer, or root"
FOR_NETWORKS = (
    "to let other machines in, run as root (CAP_NET_ADMIN), or close all incoming ports with a firewall and set "
    """replay.allow='["0.0.0.0/0","::/0"]'"""
)
MOST_INSTRUCTIONS = 4096
# Of linux/bpf_common.h and linux/filter.h: load a word, and it, jump always or where equal, return.
LOAD, AND, JUMP, EQUAL, RETURN = 0x20, 0x54, 0x05, 0x15, 0x06
PROTOCOL, INTERFACE, HEADER = 0xFFFFF000, 0xFFFFF008, 0xFFF00000
VERSIONS = ((4, 0x0800, HEADER + 12), (6, 0x86DD, HEADER + 8))  # IP version, ether type, place of the source address
PASS, DROP = 0xFFFFFFFF, 0

Instruction = tuple[int, int, int, int]


def parse_networks(texts: Iterable[str]) -> list[Network]:
    """Addresses and networks such as 10.0.0.0/16, neighbours joined. Raises ValueError for what is neither."""
    networks = [ip_network(text, strict=False) for text in texts]
    joined: list[Network] = list(collapse_addresses(each for each in networks if isinstance(each, IPv4Network)))
    return joined + list(collapse_addresses(each for each in networks if isinstance(each, IPv6Network)))


class Barrier(StrEnum):
    """What keeps other machines off a port."""

    DEVICE = "bound to the loopback device"
    FILTER = "a socket filter"
    NONE = "nothing: all are allowed"


class PortStaysOpen(RuntimeError):
    """The kernel keeps nobody off a port; the message says what the user can do."""


def answer_only(port: int, networks: Iterable[str] = ()) -> Barrier:
    """Lets this machine and `networks` alone reach what this process serves on `port`.

    Connections from elsewhere that were accepted before are ended. Called again, it puts other networks in the place
    of those before; if there were none, that needs CAP_NET_RAW. Without networks this machine may have to connect to
    127.0.0.1 or ::1: Linux counts a connection to another address of its own to the device that has the address.

    Args:
        port: TCP port, of every socket of this process that listens there.
        networks: addresses and networks such as 10.0.0.0/16; empty for this machine alone, at 127.0.0.1 and ::1.

    Returns:
        What now keeps the others off.

    Raises:
        PortStaysOpen: the kernel refuses.
        RuntimeError: nothing listens there.
        ValueError: a network is none, or there are too many.
    """
    allowed = parse_networks(networks)
    listening = list(_own_sockets(port, listens=True))
    try:
        if not listening:
            raise RuntimeError(f"nothing of this process listens on port {port}")
        barrier = _close(listening, allowed)
    except OSError as error:
        advice = FOR_NETWORKS if allowed else FOR_ONE_MACHINE
        raise PortStaysOpen(f"port {port} cannot be kept off the network here ({error.strerror}); {advice}") from error
    finally:
        for each in listening:
            each.close()
    for each in _own_sockets(port, listens=False):
        with each:
            _end_unless_allowed(each, allowed)
    return barrier


def _close(listening: list[socket.socket], allowed: list[Network]) -> Barrier:
    """Raises OSError if the kernel refuses."""
    if {network.version for network in allowed if network.prefixlen == 0} == {4, 6}:
        for each in listening:
            _bind_to_device(each, NO_DEVICE)
            # Refused if there is none, too.
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        return Barrier.NONE
    if allowed:
        return _filter(listening, allowed)
    try:
        for each in listening:
            _bind_to_device(each, LOOPBACK)
    except OSError:
        # Kernels before 5.7 let no user do it, but any user attach a filter.
        return _filter(listening, allowed)
    return Barrier.DEVICE


def _filter(listening: list[socket.socket], allowed: list[Network]) -> Barrier:
    program = filter_program(allowed, socket.if_nametoindex(LOOPBACK.decode()))
    if len(program) > MOST_INSTRUCTIONS:
        raise ValueError(f"{len(allowed)} networks are more than a socket filter holds; name larger ones")
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    attached = struct.pack("HL", len(program), ctypes.addressof(buffer))
    for each in listening:
        each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        _bind_to_device(each, NO_DEVICE)
    return Barrier.FILTER


def _bind_to_device(each: socket.socket, device: bytes) -> None:
    """Asked again for the device that it has, the kernel would refuse a user."""
    bound = each.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LONGEST_DEVICE).rstrip(b"\0")
    if bound != device:
        each.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device)


def filter_program(networks: list[Network], loopback: int) -> list[Instruction]:
    """Instructions (code, jump if true, jump if false, value); loopback: index of that interface."""
    program = [(LOAD, 0, 0, INTERFACE), (EQUAL, 0, 1, loopback), (RETURN, 0, 0, PASS)]
    for version, ether_type, source in VERSIONS:
        checks = [
            instruction for network in networks if network.version == version for instruction in _check(network, source)
        ]
        program += [(LOAD, 0, 0, PROTOCOL), (EQUAL, 1, 0, ether_type), (JUMP, 0, 0, len(checks)), *checks]
    return [*program, (RETURN, 0, 0, DROP)]


def _check(network: Network, source: int) -> list[Instruction]:
    """Returns PASS where the source address is in the network, and falls through to what follows otherwise."""
    words = [
        (mask, value, source + 4 * place)
        for place, (mask, value) in enumerate(
            zip(_words(network.netmask.packed), _words(network.network_address.packed), strict=True)
        )
        if mask
    ]
    checks: list[Instruction] = []
    for place, (mask, value, offset) in enumerate(words):
        beyond = 3 * (len(words) - 1 - place) + 1
        checks += [(LOAD, 0, 0, offset), (AND, 0, 0, mask), (EQUAL, 0, beyond, value)]
    return [*checks, (RETURN, 0, 0, PASS)]


def _words(address: bytes) -> tuple[int, ...]:
    return struct.unpack(f"!{len(address) // 4}I", address)


def _own_sockets(port: int, listens: bool) -> Iterator[socket.socket]:
    """This process's TCP sockets of that local port, as duplicates that the caller closes."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed meanwhile
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


def _end_unless_allowed(connection: socket.socket, networks: list[Network]) -> None:
    try:
        here, there = (_plain(name()[0]) for name in (connection.getsockname, connection.getpeername))
    except OSError:  # ended already
        return
    if there != here and not there.is_loopback and not any(there in network for network in networks):
        connection.shutdown(socket.SHUT_RDWR)


def _plain(text: str) -> IPv4Address | IPv6Address:
    """An address, IPv4's own where it stands inside IPv6's."""
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
