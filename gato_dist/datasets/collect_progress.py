"""Shows how far a collection is and how long it will still take: a bar on a terminal, lines now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from gato_dist.datasets.collect_plan import TaskPlan
from gato_dist.datasets.collect_shard import ShardResult
from gato_dist.utils.console import PLAIN_SECONDS


class CollectProgress:
    """A context manager that shows a collection's progress while its shards are written."""

    def __init__(self, plans: dict[str, TaskPlan], console: Console) -> None:
        """Prepares the bar.

        Args:
            plans: the plan of each task. The collection keeps them up to date and removes tasks that fail.
            console: where to print.
        """
        self._plans, self._console = plans, console
        columns = (BarColumn(bar_width=10), TaskProgressColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar = self._progress.add_task("starting", total=1.0)
        self._start = self._last_line = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._episodes: dict[str, int] = {}
        self._steps = 0

    def __enter__(self) -> "CollectProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def add(self, task: str, result: ShardResult) -> None:
        """Counts a shard that was written. The task's plan must know the shard already."""
        self._seconds[task] = self._seconds.get(task, 0.0) + result.seconds
        self._episodes[task] = self._episodes.get(task, 0) + result.shard.count
        self._steps += result.shard.steps
        now, share = time.monotonic(), self._share()
        self._progress.update(self._bar, completed=share, description=self.line())
        if not self._console.is_terminal and (now - self._last_line >= PLAIN_SECONDS or share == 1):
            self._last_line = now
            self._console.print(f"{share:.0%} · {self.line()}", soft_wrap=True)

    def line(self) -> str:
        """Returns what is collected, at which rate, and how long the rest will take."""
        plans = self._plans.values()
        elapsed = max(time.monotonic() - self._start, 1e-9)
        done, kept = sum(plan.complete for plan in plans), sum(plan.kept for plan in plans)
        rate = sum(self._episodes.values()) / elapsed
        return (
            f"{done} of {len(plans)} tasks · {kept:,} episodes, {rate:.1f}/s · {self._steps / elapsed:,.0f} steps/s · "
            f"{clock(self.seconds_left(elapsed))} left"
        )

    def seconds_left(self, elapsed: float) -> float:
        """Returns an estimate of the remaining seconds.

        The estimate takes each task's mean time per episode so far, and assumes that as many shards run at once as so
        far. A task without any episode yet counts with the mean of the other tasks.

        Args:
            elapsed: seconds since the start.
        """
        spent, played = sum(self._seconds.values()), sum(self._episodes.values())
        work = 0.0
        for name, plan in self._plans.items():
            seconds, episodes = self._seconds.get(name, spent), self._episodes.get(name, played)
            work += plan.episodes_left() * seconds / episodes
        return work * elapsed / spent

    def _share(self) -> float:
        return sum(plan.progress() for plan in self._plans.values()) / max(len(self._plans), 1)


def clock(seconds: float) -> str:
    """Returns a duration as days, hours, minutes and seconds."""
    days, rest = divmod(int(seconds), 86400)
    return f"{f'{days} d ' if days else ''}{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
