"""Data-parallel workers on this machine, without Ray: processes that find each other as under torchrun."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch.multiprocessing as mp

from gato_dist.utils.signals import Interrupt


def run_workers(job: Callable[[], None], workers: int) -> None:
    """Runs `job` in `workers` processes, each with torchrun's environment variables; returns when all have returned.

    `job` must be picklable, because the processes are spawned. A signal is passed on to all processes, which are then
    waited for. If one of them fails, the others are ended.

    Raises:
        KeyboardInterrupt: if this process received SIGINT or SIGTERM.
        Exception: what the first failing worker raised; torch's ProcessRaisedException if that cannot be pickled.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    errors: SimpleQueue[BaseException] = mp.get_context("spawn").SimpleQueue()
    with Interrupt() as interrupt:
        processes: Any = mp.start_processes(
            _work, (job, workers, port, errors), workers, join=False, start_method="spawn"
        )
        signalled = False
        try:
            while not processes.join(timeout=0.2):
                if interrupt.requested and not signalled:
                    signalled = True
                    for process in processes.processes:
                        os.kill(process.pid, signal.SIGTERM)
        except mp.ProcessRaisedException as quoted:
            if errors.empty():
                raise
            raise errors.get() from quoted
        interrupt.check()


def _work(rank: int, job: Callable[[], None], workers: int, port: int, errors: SimpleQueue[BaseException]) -> None:
    # Ctrl-C in a terminal reaches every process. The launcher alone handles it, and passes it on as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = {"WORLD_SIZE": workers, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in (rendezvous | ranks).items()})
    os.environ.update({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"})
    try:
        job()
    except Exception as error:
        # torch itself would only pass on the traceback's text.
        errors.put(error)
        raise
    # Threads of gloo may still hold tensors, and abort a process whose interpreter shuts down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
