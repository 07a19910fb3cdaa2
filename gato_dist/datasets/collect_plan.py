"""Which shards of a task are still to be played: decided in the order of their episodes, whoever plays them when.

Shards are cut at multiples of `SHARD`, and where a collection of that many episodes ends; one that is there is never
played again. A goal in steps, or in episodes of which some are dropped, needs as many shards as it turns out: the
first ones that reach it. What was played beyond those, since several play at once, does not stay.
"""

from collections import Counter
from dataclasses import dataclass

from gato_dist.seeds import DATASET_SEEDS
from replay.dataset.shards import Manifest

SHARD = 16  # episodes: as many environments play at once
HOPELESS = 10 * SHARD  # episodes in a row of which none was good enough


@dataclass(frozen=True)
class Goal:
    """What is wanted of a task: at least so many episodes that are kept, and at least so many steps of them."""

    episodes: int = 0
    steps: int = 0

    def __str__(self) -> str:
        wanted = ((self.episodes, "episodes"), (self.steps, "steps"))
        return " and ".join(f"{count:,} {name}" for count, name in wanted if count)


@dataclass(frozen=True)
class Span:
    """A shard that is there: episodes [first, first + count) were played, `kept` of them with `steps` steps."""

    first: int
    count: int
    kept: int
    steps: int

    @classmethod
    def of(cls, manifest: Manifest) -> "Span":
        indices = manifest.indices
        return cls(indices[0], len(indices), len(manifest.entries), sum(entry.steps for entry in manifest.entries))


@dataclass(frozen=True)
class Block:
    """A shard to be played: episodes [first, first + count)."""

    first: int
    count: int


class TaskPlan:
    """What one task has and lacks.

    filtered: episodes may be dropped. longest: steps that no episode exceeds; 0 where that is not known.
    """

    def __init__(self, goal: Goal, filtered: bool, longest: int, held: list[Span]) -> None:
        self.goal = goal
        self._filtered, self._longest = filtered, longest
        self._held: dict[int, Span] = {}
        self._running: dict[int, Block] = {}
        self._path: list[Span] = []
        self._played = self._blank = self._kept = self._steps = 0
        self._known: Counter[str] = Counter()
        for span in held:
            self.add(span)

    def add(self, span: Span) -> None:
        """A shard is there."""
        self._running.pop(span.first, None)
        self._held[span.first] = span
        self._known.update({"count": span.count, "kept": span.kept, "steps": span.steps})
        while not self.complete and self._played in self._held:
            reached = self._held[self._played]
            self._path.append(reached)
            self._played += reached.count
            self._kept, self._steps = self._kept + reached.kept, self._steps + reached.steps
            self._blank = 0 if reached.kept else self._blank + reached.count

    @property
    def complete(self) -> bool:
        return self._enough(self._kept, self._steps)

    @property
    def stuck(self) -> str | None:
        """Why it is of no use to go on, if so."""
        if not self.complete and self._blank >= HOPELESS:
            return f"of {self._blank} episodes in a row none was good enough"
        if not self.complete and self._played + SHARD > DATASET_SEEDS:
            return f"{self._played} episodes hold no {self.goal}, and one seed of a collection draws no more"
        return None

    def take(self) -> Block | None:
        """What to play next, which counts as being played from now on; None where nothing more seems to be needed."""
        at, kept, steps = self._played, float(self._kept), float(self._steps)
        while not self._enough(kept, steps) and at + SHARD <= DATASET_SEEDS and not self.stuck:
            if span := self._held.get(at):
                at, kept, steps = at + span.count, kept + span.kept, steps + span.steps
            elif block := self._running.get(at):
                kept_share, steps_share = self._shares()
                at, kept, steps = at + block.count, kept + kept_share * block.count, steps + steps_share * block.count
            else:
                block = self._running[at] = Block(at, self._end(at) - at)
                return block
        return None

    @property
    def played(self) -> int:
        """Episodes of all shards that are there."""
        return self._known["count"]

    @property
    def kept(self) -> int:
        """Episodes that all shards hold."""
        return self._known["kept"]

    def surplus(self) -> list[int]:
        """First episodes of shards beyond those that the goal needs."""
        return sorted(self._held.keys() - {span.first for span in self._path}) if self.complete else []

    def share(self) -> float:
        """Of the goal, what all shards hold."""
        reached = ((self.kept, self.goal.episodes), (self._known["steps"], self.goal.steps))
        return min(min(held / wanted, 1.0) for held, wanted in reached if wanted)

    def left(self) -> float:
        """Episodes that are likely still to be played."""
        kept_share, steps_share = self._shares()
        missing = self.goal.episodes - self.kept, self.goal.steps - self._known["steps"]
        return max(0.0, missing[0] / kept_share, missing[1] / steps_share)

    def _enough(self, kept: float, steps: float) -> bool:
        return kept >= self.goal.episodes and steps >= self.goal.steps

    def _shares(self) -> tuple[float, float]:
        """Episodes kept, and steps kept, of one that is played: as so far, or at most."""
        played = self._known["count"]
        if not played:
            return 1.0, float(self._longest or self.goal.steps or 1)
        # As if one more had been kept: none so far does not mean never.
        return min((self._known["kept"] + 1) / played, 1.0), max(self._known["steps"], 1) / played

    def _end(self, first: int) -> int:
        end = (first // SHARD + 1) * SHARD
        if not self._filtered and not self.goal.steps:
            end = min(end, self.goal.episodes)
        return next((i for i in range(first + 1, end) if i in self._held), end)
