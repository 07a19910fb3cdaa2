"""Types of the fuzzer: a kind of input draws one, writes it to a folder, and returns its reader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Draw = Callable[[Any], Any]
Act = Callable[[], None]
Kind = Callable[[Draw, Path], Act]
