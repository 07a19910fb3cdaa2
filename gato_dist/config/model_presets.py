"""Model presets: the paper's three sizes (section C.1, table 5), and small ones for CPUs."""

from typing import Any

_PAPER: dict[str, Any] = {
    "activation": "geglu",
    "shared_embedding": True,
    "patch_channels": 96,
    "local_positions": 512,
    "action_positions": "none",
    "stochastic_depth": 0.1,
}

# `feed_forward` counts both halves of the GEGLU layer: otherwise the 1.18B model would have 1.7B parameters.
MODEL_PRESETS: dict[str, dict[str, Any]] = {
    "paper-1.18b": _PAPER | {"width": 2048, "layers": 24, "heads": 16, "key_size": 128, "feed_forward": 8192},
    "paper-364m": _PAPER | {"width": 1536, "layers": 12, "heads": 12, "key_size": 128, "feed_forward": 6144},
    "paper-79m": _PAPER | {"width": 768, "layers": 8, "heads": 24, "key_size": 32, "feed_forward": 3072},
    "cpu-2m": {"width": 192, "layers": 4, "heads": 6, "key_size": 32, "feed_forward": 768},
    "cpu-1m": {"width": 128, "layers": 3, "heads": 4, "key_size": 32, "feed_forward": 512},
}
PAPER_PARAMETERS = {"paper-1.18b": 1.18e9, "paper-364m": 364e6, "paper-79m": 79e6}
