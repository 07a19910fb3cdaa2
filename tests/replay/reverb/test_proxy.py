"""A web proxy in the environment is never used for the replay server, whichever variable sets it."""

import os
import socket
import subprocess
import sys

import pytest

NAMES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.mark.parametrize("exempt", [{}, {"no_proxy": "example.com"}, {"no_grpc_proxy": "example.com"}], ids=str)
def test_a_web_proxy_is_not_used(exempt):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "gato_dist.doctor.self_tests", "reverb"], capture_output=True, text=True, timeout=60,
            env=os.environ | dict.fromkeys(NAMES, url) | exempt,
        )  # fmt: skip
        assert "a sequence was written and read" in done.stdout, done.stderr
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
