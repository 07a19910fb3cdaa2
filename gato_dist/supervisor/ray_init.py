"""Connects to Ray: to a running cluster, or to a new Ray on this machine that is private to the run."""

import logging
import os
import secrets
import socket
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import AuthenticationError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gato_dist.config.process_sections import RayConfig
from gato_dist.errors import InputError, brief
from gato_dist.supervisor.errors import RunFailed, last_line

LOOPBACK = "127.0.0.1"
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
STORE_BYTES = 512 * 2**20
# One thread for each of the libraries that would otherwise use every core in every process.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


def connect(config: RayConfig, cpus: float, store_bytes: int = STORE_BYTES) -> None:
    """Joins the cluster at `config.address`, or starts Ray on this machine, on loopback and behind a token.

    Args:
        config: the cluster's address, or the number of CPUs that a new Ray offers.
        cpus: what the processes will reserve. A new Ray offers at least as many, also on a smaller machine, since
            experts mostly wait. A cluster may still grow.
        store_bytes: size of a new Ray's object store.

    Raises:
        InputError: if no cluster answers or it refuses this machine's token, or if `config.cpus` is too few.
        RunFailed: if Ray does not start on this machine.
    """
    if config.cpus is not None and config.cpus < cpus and not config.address:
        raise InputError(f"ray.cpus: {config.cpus} is too few: this run's processes ask for {cpus:g}; leave it out")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray starts workers at niceness 15, from which experts could not give way to the learner.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # All processes start at once, also on few cores; Ray would warn about it.
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", str(max(os.cpu_count() or 1, int(cpus + 2))))
    if config.address:
        _join(config.address)
    else:
        _start(config.cpus or max(os.cpu_count() or 1, int(cpus + 1)), store_bytes)


def _join(address: str) -> None:
    """Joins a cluster."""
    try:
        _check_answers(address)
        ray.init(address=address, **_common_options({}))
    except AuthenticationError as error:
        raise InputError(
            f"ray.address: {address} refuses this machine's token; set RAY_AUTH_TOKEN_PATH to a file with "
            f"the cluster's, or RAY_AUTH_TOKEN"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"ray.address: no Ray cluster answers at {address} ({brief(error)})") from error


def _start(cpus: int, store_bytes: int) -> None:
    """Starts Ray on this machine."""
    _keep_private()
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            _node_ip_address=LOOPBACK,
            object_store_memory=store_bytes,
            **_common_options({"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}),
        )
    except Exception as error:
        # Ray raises a plain Exception if its own processes did not answer in time.
        raise RunFailed(f"Ray did not start on this machine: {last_line(error)}") from error


def _common_options(environment: dict[str, str]) -> dict[str, Any]:
    """Options of `ray.init`. environment: further environment variables of every process."""
    return {
        "logging_level": logging.ERROR,
        "log_to_driver": False,
        "runtime_env": {"env_vars": THREADS | QUIET | environment},
    }


def _keep_private() -> None:
    """Makes a Ray that is about to start listen on loopback alone, and ask for a token."""
    # Ray takes 127.0.0.1 for a mistake and listens on every interface, unless it believes that it runs on a system
    # without clusters. It reads RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER on import, before any address is known.
    ray_constants.ENABLE_RAY_CLUSTER = False
    # Ray turns tokens on for a new cluster unless this variable is set.
    os.environ.pop("RAY_AUTH_MODE", None)
    # A token for this run alone: Ray would write one to ~/.ray/auth_token, which every user may read.
    if not any(os.environ.get(name) for name in TOKENS):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _check_answers(address: str) -> None:
    """Raises OSError if nothing listens at host:port; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def this_node() -> NodeAffinitySchedulingStrategy:
    """Returns a strategy that places a task or an actor on this machine, next to the run folder."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
