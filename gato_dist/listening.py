"""Which machines a listening port of this process answers: for servers that bind every interface.

A socket filter (classic BPF, SO_ATTACH_FILTER) lies on the listening sockets: packets that come through the loopback
interface pass, others only from the networks named; the rest is dropped as if nobody listened. Linux lets every user
attach one to sockets of their own (some kernels want CAP_NET_ADMIN), and accepted connections inherit it. Users of the
same machine are not told apart.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

Network = IPv4Network | IPv6Network

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# Where a kernel wants CAP_NET_ADMIN for a filter, this is what its user can do.
UNFILTERED = (
    """run it as root, or close all incoming ports with a firewall and set replay.allow='["0.0.0.0/0","::/0"]'"""
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


def answer_only(port: int, networks: Iterable[str] = ()) -> int:
    """Lets this machine and `networks` alone reach what this process serves on `port`; returns its listening sockets.

    Connections from elsewhere that were accepted before are ended. Called again, it puts other networks in the place
    of those before. Where those are all there are, no filter is needed. Raises OSError where the kernel refuses,
    RuntimeError where nothing listens there, ValueError for what is no network or too many of them.
    """
    allowed = parse_networks(networks)
    everybody = {network.version for network in allowed if network.prefixlen == 0} == {4, 6}
    program = filter_program(allowed, socket.if_nametoindex("lo"))
    if len(program) > MOST_INSTRUCTIONS:
        raise ValueError(f"{len(allowed)} networks are more than a socket filter holds; name larger ones")
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    attached = struct.pack("HL", len(program), ctypes.addressof(buffer))
    listening = 0
    for each in _own_sockets(port, listens=True):
        if everybody:
            # Refused where there is none, too.
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        else:
            each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)
        listening += 1
    for each in _own_sockets(port, listens=False):
        _end_unless_allowed(each, allowed)
    if not listening:
        raise RuntimeError(f"nothing of this process listens on port {port}")
    return listening


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
    """This process's TCP sockets of that local port, as duplicates that are closed as the iteration goes on."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed meanwhile
            continue
        with found:
            internet = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
            if not internet or found.getsockname()[1] != port:
                continue
            if bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) == listens:
                yield found


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
