"""What a kind of input is: it draws one, writes it into a folder, and returns what reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Draw = Callable[[Any], Any]
Act = Callable[[], None]
Kind = Callable[[Draw, Path], Act]
