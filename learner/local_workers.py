"""Data-parallel workers on this machine, without Ray: processes that find one another as under torchrun."""

import os
import signal
import socket
import sys
from collections.abc import Callable

import torch.multiprocessing as mp

from gato_dist.utils.signals import Interrupt


def run_workers(job: Callable[[], None], workers: int) -> None:
    """Runs `job` in `workers` processes, each with torchrun's variables; returns when all have returned.

    A signal is passed on to all of them, who are waited for. Raises KeyboardInterrupt then, and
    torch.multiprocessing.ProcessRaisedException, which quotes the traceback, where one of them fails: the others are
    ended.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Interrupt() as interrupt:
        started = mp.start_processes(_work, (job, workers, port), workers, join=False, start_method="spawn")
        told = False
        while not started.join(timeout=0.2):
            if interrupt.requested and not told:
                told = True
                for process in started.processes:
                    os.kill(process.pid, signal.SIGTERM)
        interrupt.check()


def _work(rank: int, job: Callable[[], None], workers: int, port: int) -> None:
    # A terminal's Ctrl-C reaches every process; that of the first one is passed on to the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": workers, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in where.items()})
    os.environ.update({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})
    job()
    # Threads of gloo may still hold tensors, and abort a process whose interpreter is being taken down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
