"""What `gato-dist doctor` found of one thing."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """name: of what was looked at. found: what is there. advice: what to do; empty where nothing is."""

    name: str
    state: State
    found: str
    advice: str = ""
