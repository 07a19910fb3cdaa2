"""How far a collection is and how long it will still take: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from gato_dist.datasets.collect_plan import TaskPlan
from gato_dist.datasets.collect_shard import Made
from gato_dist.utils.console import PLAIN_SECONDS


class CollectProgress:
    """Watches plans while their shards come in; tasks that failed are taken out of `plans` by whoever owns it."""

    def __init__(self, plans: dict[str, TaskPlan], console: Console) -> None:
        self._plans, self._console = plans, console
        columns = (BarColumn(bar_width=10), TaskProgressColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar = self._progress.add_task("starting", total=1.0)
        self._began = self._printed = time.monotonic()
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

    def add(self, task: str, made: Made) -> None:
        """A shard has come in; its plan knows it already."""
        self._seconds[task] = self._seconds.get(task, 0.0) + made.seconds
        self._episodes[task] = self._episodes.get(task, 0) + made.span.count
        self._steps += made.span.steps
        now, share = time.monotonic(), self._share()
        self._progress.update(self._bar, completed=share, description=self.line())
        if not self._console.is_terminal and (now - self._printed >= PLAIN_SECONDS or share == 1):
            self._printed = now
            self._console.print(f"{share:.0%} · {self.line()}", soft_wrap=True)

    def line(self) -> str:
        """What is there, how fast it comes and how long it will still take."""
        plans = self._plans.values()
        elapsed = max(time.monotonic() - self._began, 1e-9)
        done, kept = sum(plan.complete for plan in plans), sum(plan.kept for plan in plans)
        rate = sum(self._episodes.values()) / elapsed
        return (
            f"{done} of {len(plans)} tasks · {kept:,} episodes, {rate:.1f}/s · {self._steps / elapsed:,.0f} steps/s · "
            f"{clock(self.seconds_left(elapsed))} left"
        )

    def seconds_left(self, elapsed: float) -> float:
        """By the time that each task's episodes took so far, and as many at once as so far.

        elapsed: seconds since the beginning. A task that was not played yet counts as the others on average.
        """
        spent, played = sum(self._seconds.values()), sum(self._episodes.values())
        work = sum(
            plan.left() * (self._seconds[name] / self._episodes[name] if name in self._seconds else spent / played)
            for name, plan in self._plans.items()
        )
        return work * elapsed / spent

    def _share(self) -> float:
        return sum(plan.share() for plan in self._plans.values()) / max(len(self._plans), 1)


def clock(seconds: float) -> str:
    """Days, hours, minutes and seconds."""
    days, rest = divmod(int(seconds), 86400)
    return f"{f'{days} d ' if days else ''}{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
