"""Simulated hosts on this machine: each has its own name, address, processes, files and sshd.

A host is a process in namespaces of its own (network, mounts, processes, name, IPC); the network's switch is one more
network namespace, so that nothing of the machine's own network changes. Files are this machine's, under an overlay in
memory. Everything is gone as soon as the hosts' first processes are: they die with the process that made them.
Needs root.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

NEEDED = ("ip", "unshare", "nsenter", "setpriv", "rsync", "ssh", "ssh-keygen", "sshd")
USER = "gato"
# Every host has uv and an installed venv, because it has no Internet access. Otherwise it is like a new machine.
UV = """#!/bin/sh
exec {uv} "$@"
"""
# The first process of a host. It uses this machine's Python, which may be in root's home.
BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 gato /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/venv /mnt/venv-work /mnt/code /mnt/code-work
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount --rbind /dev dev
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 home home
mkdir run/sshd
# Cores are shared: were each host told of its own, a small machine could not hold a run's parts.
echo "0-$((CORES - 1))" > run/cores
mount --bind run/cores sys/devices/system/cpu/online
hostname "$NAME"
echo "$NAME" > etc/hostname
printf '127.0.0.1 localhost\n%s %s\n' "$ADDRESS" "$NAME" > etc/hosts
printf 'UV_OFFLINE=1\nUV_NO_BUILD_ISOLATION=1\n' > etc/environment
rm -f etc/ssh/ssh_host_* etc/pip.conf
chmod 711 root
chroot . ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
# With root's number, and found first by it: some kernels let only CAP_NET_ADMIN attach the replay server's filter.
chroot . useradd -m -o -u 0 -s /bin/bash "$HOST_USER"
sed -i -e "/^$HOST_USER:/d" -e "1i $HOST_USER:x:0:0::/home/$HOST_USER:/bin/bash" etc/passwd
cd "home/$HOST_USER"
mkdir -p -m 700 .ssh
mkdir -p .local/bin gato-dist
echo "$PUBLIC_KEY" > .ssh/authorized_keys
if [ -n "$DESK" ]; then
    echo "$PRIVATE_KEY" > .ssh/id_ed25519
    chmod 600 .ssh/id_ed25519
    mount -t overlay -o "lowerdir=$CODE,upperdir=/mnt/code,workdir=/mnt/code-work" overlay gato-dist
fi
echo "$UV" > .local/bin/uv
chmod 755 .local/bin/uv
mkdir -p gato-dist/.venv
mount -t overlay -o "lowerdir=$VENV,upperdir=/mnt/venv,workdir=/mnt/venv-work" overlay gato-dist/.venv
# Scripts begin with the path of the venv that they were installed into.
grep -lIZ "^#!$VENV/bin/python" gato-dist/.venv/bin/* | xargs -0r sed -i "1s|$VENV|/home/$HOST_USER/gato-dist/.venv|"
rm -f gato-dist/.venv/.installed-*
cd /mnt/root
pivot_root . mnt
cd /
umount -l /mnt
nice -n "$NICENESS" /usr/sbin/sshd -D -e &
echo ready
# As the first process it takes in those whose parents ended: bash waits for them by itself.
while true; do sleep 3600; done
"""


def missing() -> str | None:
    """Returns why hosts cannot be started here; None if they can."""
    if os.geteuid() != 0:
        return "needs root, to make namespaces"
    if importlib.util.find_spec("aiohttp_cors") is None:
        return "needs Ray's job server: make EXTRAS=live,cluster install"
    if _uv() is None:
        return "needs uv: make install"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [word for word in NEEDED if shutil.which(word, path=path) is None]
    return f"needs {', '.join(absent)}: apt-get install iproute2 openssh-server rsync" if absent else None


def _uv() -> str | None:
    return shutil.which("uv", path=f"{os.environ.get('PATH', '')}:{ROOT / '.uv' / 'bin'}")


@dataclass
class Host:
    name: str
    address: str
    pid: int  # of its first process, as this machine counts

    def command(self, script: str, user: str = USER) -> list[str]:
        """Returns the command that runs `script` on the host in a login shell of `user`."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "--"]
        return [*inside, "runuser", "-u", user, "--", "env", "-i", f"HOME={self.home(user)}", "bash", "-lc", script]

    def home(self, user: str) -> str:
        return "/root" if user == "root" else f"/home/{user}"

    def run(self, script: str, user: str = USER, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
        command = self.command(f"cd; {script}", user)
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def processes(self) -> list[str]:
        """Returns the names of the host's processes, except for sshd, shells and this query."""
        found = self.run("ps -A -o comm=", "root").stdout.split()
        return [name for name in found if name not in {"bash", "sleep", "sshd", "ps", "runuser", "rsync"}]


def ip(pid: int, *arguments: str) -> None:
    """Runs ip in the network namespace of a process."""
    subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *arguments], check=True, capture_output=True, text=True)


def first_process(stack: ExitStack, namespaces: Sequence[str], script: str, env: dict[str, str]) -> int:
    """Starts `unshare`, which ends with this process and then ends its child. Returns the child's process id."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--fork", "--kill-child", "bash", "-c", script]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, env=os.environ | env, text=True, **streams)
    stack.callback(process.wait, 60)
    stack.callback(process.kill)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if line == "ready\n":
            return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()[0])
        said.append(line)
    raise RuntimeError("a host did not start: " + "".join(said))


def key_pair() -> tuple[str, str]:
    """Makes a key pair and returns the private and the public key."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "gato", "-f", path], check=True)
        return path.read_text(), path.with_suffix(".pub").read_text()


@contextmanager
def network(addresses: dict[str, str], desk: str, niceness: int = 0, cores: int = 8) -> Iterator[dict[str, Host]]:
    """Hosts by name, at these addresses (with the length of the prefix) of one network.

    All have the user `gato`, with the same home. At `desk` there is also the repository, at ~/gato-dist, and the key
    that opens the others.
    """
    private, public = key_pair()
    shared = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOST_USER": USER, "VENV": sys.prefix, "CODE": str(ROOT),
        "PUBLIC_KEY": public, "PRIVATE_KEY": private, "NICENESS": str(niceness),
        "CORES": str(cores), "UV": UV.format(uv=_uv()),
    }  # fmt: skip
    with ExitStack() as stack:
        switch = first_process(stack, ["--net"], "echo ready; sleep infinity", {})
        ip(switch, "link", "add", "switch", "type", "bridge")
        ip(switch, "link", "set", "switch", "up")
        hosts = {}
        for number, (name, address) in enumerate(addresses.items()):
            bare = address.partition("/")[0]
            own = {"NAME": name, "ADDRESS": bare, "DESK": name if name == desk else ""}
            namespaces = ["--net", "--mount", "--uts", "--ipc", "--pid"]
            pid = first_process(stack, namespaces, BOOT, shared | own)
            ip(switch, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
            ip(switch, "link", "set", f"port{number}", "master", "switch", "up")
            ip(pid, "link", "set", "lo", "up")
            ip(pid, "address", "add", address, "dev", "eth0")
            ip(pid, "link", "set", "eth0", "up")
            hosts[name] = Host(name, bare, pid)
        yield hosts


def until(question: Callable[[], Any], seconds: float, pause: float = 1.0) -> Any:
    """Returns the first true answer of `question`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(pause)
    raise TimeoutError(f"nothing came of {question} in {seconds:.0f} s")
