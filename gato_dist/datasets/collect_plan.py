"""Plans which shards of a task are still to be played. A plan depends on the shards, not on who plays them or when.

Shards begin at multiples of `SHARD_EPISODES`, and where an earlier, smaller collection ended. An existing shard is
never played again. If the goal is a number of steps, or if episodes may be dropped, the number of shards is not known
in advance: the goal needs the first shards that reach it. Several workers may play more; the surplus is deleted.
"""

from dataclasses import dataclass

from gato_dist.seeds import DATASET_SEEDS
from replay.dataset.shards import Manifest

SHARD_EPISODES = 16  # as many environments play at once
MAX_REJECTED = 10 * SHARD_EPISODES  # successive episodes that were all dropped, after which a collection gives up


@dataclass(frozen=True)
class CollectionGoal:
    """What is wanted of each task: at least so many episodes that are kept, and at least so many steps in them."""

    episodes: int = 0
    steps: int = 0

    def __str__(self) -> str:
        wanted = ((self.episodes, "episodes"), (self.steps, "steps"))
        return " and ".join(f"{count:,} {name}" for count, name in wanted if count)

    def is_reached(self, episodes: float, steps: float) -> bool:
        """Returns whether so many kept episodes and steps are enough."""
        return episodes >= self.episodes and steps >= self.steps


@dataclass(frozen=True)
class EpisodeRange:
    """A shard that is to be played: episodes first … first + count − 1."""

    first: int
    count: int


@dataclass(frozen=True)
class ShardSummary:
    """A shard that exists: episodes first … first + count − 1 were played, `kept` of them with `steps` steps in all."""

    first: int
    count: int
    kept: int
    steps: int

    @classmethod
    def of(cls, manifest: Manifest) -> "ShardSummary":
        """Returns the summary of a shard from its manifest."""
        indices = manifest.indices
        return cls(indices[0], len(indices), len(manifest.entries), sum(entry.steps for entry in manifest.entries))


class TaskPlan:
    """The shards that one task has and lacks.

    Attributes:
        goal: what is wanted of the task.
        played: number of episodes in all existing shards, dropped ones included.
        kept: number of episodes that all existing shards hold.
        steps: number of steps that all existing shards hold.
    """

    def __init__(
        self, goal: CollectionGoal, existing: list[ShardSummary], *, filtered: bool, max_steps: int = 0
    ) -> None:
        """Plans from the shards that exist.

        Args:
            goal: what is wanted of the task.
            existing: the shards that exist, in any order.
            filtered: whether episodes may be dropped.
            max_steps: steps that no episode exceeds; 0 if unknown.
        """
        self.goal = goal
        self.played = self.kept = self.steps = 0
        self._filtered, self._max_steps = filtered, max_steps
        self._existing: dict[int, ShardSummary] = {}
        self._running: dict[int, EpisodeRange] = {}
        # The shards without a gap from episode 0 on, up to the goal: what they hold, and what the goal needs.
        self._needed: list[ShardSummary] = []
        self._next = self._needed_kept = self._needed_steps = self._rejected_in_a_row = 0
        for shard in existing:
            self.add(shard)

    def add(self, shard: ShardSummary) -> None:
        """Records that a shard exists now."""
        self._running.pop(shard.first, None)
        self._existing[shard.first] = shard
        self.played += shard.count
        self.kept += shard.kept
        self.steps += shard.steps
        while not self.complete and self._next in self._existing:
            reached = self._existing[self._next]
            self._needed.append(reached)
            self._next += reached.count
            self._needed_kept += reached.kept
            self._needed_steps += reached.steps
            self._rejected_in_a_row = 0 if reached.kept else self._rejected_in_a_row + reached.count

    @property
    def complete(self) -> bool:
        """Whether the goal is reached."""
        return self.goal.is_reached(self._needed_kept, self._needed_steps)

    @property
    def give_up_reason(self) -> str | None:
        """Why the goal cannot be reached, or None if it still may be."""
        if not self.complete and self._rejected_in_a_row >= MAX_REJECTED:
            return f"the last {self._rejected_in_a_row} episodes all scored too low"
        if not self.complete and self._next + SHARD_EPISODES > DATASET_SEEDS:
            return f"{self._next} episodes hold fewer than {self.goal}, and a collection with one seed has no more"
        return None

    def start_next(self) -> EpisodeRange | None:
        """Returns the next shard to play and marks it as running.

        Returns:
            None if the existing and the running shards are likely to reach the goal, or if the plan gives up.
        """
        first, kept, steps = self._next, float(self._needed_kept), float(self._needed_steps)
        kept_rate, steps_rate = self._rates()
        while not self.goal.is_reached(kept, steps) and first + SHARD_EPISODES <= DATASET_SEEDS:
            if self.give_up_reason:
                return None
            if shard := self._existing.get(first):
                first, kept, steps = first + shard.count, kept + shard.kept, steps + shard.steps
            elif running := self._running.get(first):
                kept, steps = kept + kept_rate * running.count, steps + steps_rate * running.count
                first += running.count
            else:
                started = self._running[first] = EpisodeRange(first, self._end(first) - first)
                return started
        return None

    def surplus(self) -> list[int]:
        """Returns the first episodes of the shards that a reached goal does not need."""
        return sorted(self._existing.keys() - {shard.first for shard in self._needed}) if self.complete else []

    def progress(self) -> float:
        """Returns the share of the goal that all existing shards hold, 0 … 1."""
        reached = ((self.kept, self.goal.episodes), (self.steps, self.goal.steps))
        return min(min(held / wanted, 1.0) for held, wanted in reached if wanted)

    def episodes_left(self) -> float:
        """Returns an estimate of how many episodes are still to be played."""
        kept_rate, steps_rate = self._rates()
        return max(0.0, (self.goal.episodes - self.kept) / kept_rate, (self.goal.steps - self.steps) / steps_rate)

    def _rates(self) -> tuple[float, float]:
        """Episodes and steps that are kept of one played episode: the mean so far, or the most if none was played."""
        if not self.played:
            return 1.0, float(self._max_steps or self.goal.steps or 1)
        # As if one more episode had been kept: none so far does not mean never.
        return min((self.kept + 1) / self.played, 1.0), max(self.steps, 1) / self.played

    def _end(self, first: int) -> int:
        end = (first // SHARD_EPISODES + 1) * SHARD_EPISODES
        if not self._filtered and not self.goal.steps:
            end = min(end, self.goal.episodes)
        return next((i for i in range(first + 1, end) if i in self._existing), end)
