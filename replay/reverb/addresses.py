"""The address of a replay server. It changes when a server dies and a new one replaces it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ServerAddress:
    """The address of a replay server, and what its newest checkpoint holds.

    Attributes:
        address: host:port.
        generation: how many servers have been started for this shard, this one included. It distinguishes a server
            from its predecessor at the same address.
        covered: table → seed block → item id of the newest sequence that the server's newest checkpoint holds
            (`replay.reverb.checkpoints.newest_item_ids`).
    """

    address: str
    generation: int = 0
    covered: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def is_same_server(self, other: "ServerAddress") -> bool:
        """Returns whether both name one server, regardless of its checkpoints."""
        return (self.address, self.generation) == (other.address, other.generation)


Address = str | Callable[[], ServerAddress]  # a fixed host:port, or a function that returns the current address


def current_address(address: Address) -> ServerAddress:
    """Returns the server's address at this moment."""
    return ServerAddress(address) if isinstance(address, str) else address()
