"""Imports Reverb and TensorFlow with the settings that replay needs.

Both are heavy and optional: import them late.
"""

import os
from typing import Any

from gato_dist.utils.missing_packages import reverb_advice


def import_reverb() -> Any:
    """Returns the `reverb` module, with TensorFlow's log messages silenced.

    Raises:
        ImportError: Reverb is not installed; the message says what to install.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The replay server is on this machine or in its cluster: a web proxy cannot reach it. An empty grpc_proxy makes
    # gRPC, and nothing else, ignore http_proxy and similar variables. Reverb offers no channel option for this.
    os.environ["grpc_proxy"] = ""  # noqa: SIM112, gRPC reads it by this name
    try:
        import reverb
    except ImportError as error:
        raise ImportError(f"{reverb_advice()} ({error})") from error
    return reverb


def import_tensorflow() -> Any:
    """Returns the `tensorflow` module, limited to one thread per operation.

    Other processes need the cores more. TensorFlow accepts this setting only before its first operation.

    Raises:
        ImportError: as `import_reverb`.
    """
    import_reverb()
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    return tensorflow
