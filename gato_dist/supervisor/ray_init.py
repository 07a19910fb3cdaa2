"""A Ray to run in: a cluster that is there, or one of this machine, private to the run."""

import logging
import os
import secrets
import socket
from typing import Any

import ray
from ray._private import ray_constants
from ray.exceptions import AuthenticationError

from gato_dist.config.process_sections import RayConfig
from gato_dist.errors import InputError

LOOPBACK = "127.0.0.1"
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
STORE_BYTES = 512 * 2**20
# One thread for each of the libraries that would otherwise take every core in every process.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


class RunFailed(RuntimeError):
    """A part of the run died and could not be brought back, or Ray did not start."""


def connect(config: RayConfig, cpus: float, store: int = STORE_BYTES) -> None:
    """Joins the cluster at `config.address`, or starts Ray on this machine, on loopback and behind a token.

    cpus: what the run's parts will ask for; a Ray started here offers at least that much, since experts mostly wait.
    store: bytes of a new Ray's object store.
    Raises RunFailed where no Ray can be started, and InputError where no cluster answers, or `config.cpus` is too few.
    A cluster may still grow: its parts wait.
    """
    if config.cpus is not None and config.cpus < cpus and not config.address:
        raise InputError(f"ray.cpus: {config.cpus} is too few: this run's processes ask for {cpus:g}; leave it out")
    environment: dict[str, Any] = {"env_vars": THREADS | QUIET}
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "runtime_env": environment}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray starts workers at niceness 15, from where experts could not give way to the learner.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Every part starts at once, on few cores too; Ray would warn of it.
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", str(max(os.cpu_count() or 1, int(cpus + 2))))
    if config.address:
        try:
            _knock(config.address)
            ray.init(address=config.address, **common)
        except AuthenticationError as error:
            raise InputError(
                f"ray.address: {config.address} refuses this machine's token; set RAY_AUTH_TOKEN_PATH to a file with "
                f"the cluster's, or RAY_AUTH_TOKEN"
            ) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"ray.address: no Ray cluster answers at {config.address} ({str(error).splitlines()[0]})"
            ) from error
        return
    _keep_private()
    environment["env_vars"] |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    offered = config.cpus or max(os.cpu_count() or 1, int(cpus + 1))
    try:
        ray.init(
            address="local", num_cpus=offered, include_dashboard=False, _node_ip_address=LOOPBACK,
            object_store_memory=store, **common,
        )  # fmt: skip
    except Exception as error:
        # Ray raises a plain Exception where its own processes did not answer in time.
        raise RunFailed(f"Ray did not start on this machine: {last_line(error)}") from error


def _keep_private() -> None:
    """Has a Ray that is about to start listen on loopback alone, and refuse whoever lacks its token."""
    # Ray takes 127.0.0.1 for a mistake and listens on every interface, unless it believes to be where clusters cannot
    # be. It reads RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER as it is imported, before any address is known.
    ray_constants.ENABLE_RAY_CLUSTER = False
    # Not set, it is Ray itself that turns tokens on for a new cluster.
    os.environ.pop("RAY_AUTH_MODE", None)
    # One of this run's own: Ray would write one that every user may read to ~/.ray/auth_token.
    if not any(os.environ.get(name) for name in TOKENS):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def last_line(error: BaseException) -> str:
    """What an error of another process says at its end."""
    return str(error).strip().splitlines()[-1][:300]
