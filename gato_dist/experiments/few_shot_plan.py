"""The plan of a few-shot experiment: what is asked for, which runs it takes, and their configurations."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig, dump_config, load_config, parse_config
from gato_dist.errors import InputError

FINE_TUNED, FROM_SCRATCH = "fine-tuned", "from scratch"
VARIANTS = (FINE_TUNED, FROM_SCRATCH)
# Section 5.2: Adam at a constant 1e-5, batches of 64, dropout 0.1, 10,000 steps. configs/finetune.yaml has the same.
PAPER_LEARNER = {
    "steps": 10_000, "batch": 64, "learning_rate": 1e-5, "warmup_steps": 0, "final_lr_ratio": 1.0, "weight_decay": 0.0,
}  # fmt: skip
PAPER_DROPOUT = 0.1
DEFAULT_MINUTES = 1.0  # of each run, unless the user overrides it: what a laptop can do


@dataclass(frozen=True, kw_only=True)
class FewShotRequest:
    """What to compare, and where to keep the results.

    Attributes:
        task: the task to learn.
        checkpoint: the checkpoint whose fine-tuning is compared with a new model of the same kind.
        out: the experiment's folder.
        data: a dataset with episodes of the task; None: episodes of its expert are collected.
        episodes: sizes of the subsets to learn from.
        series: number of series; each has its own subsets and seeds.
        scores: number of held-out episodes on which each run is scored.
        scratch_rate: learning rate from scratch; None: the one that the checkpoint was trained with.
        seed: of the subsets and runs.
        overrides: `key=value` overrides of every run's configuration.
    """

    task: str
    checkpoint: Path
    out: Path
    data: str | None = None
    episodes: tuple[int, ...] = (1, 10, 100)
    series: int = 3
    scores: int = 20
    scratch_rate: float | None = None
    seed: int = 0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class FewShotRun:
    """One training run: a variant that learns from the first `episodes` episodes in the order of a series."""

    variant: str
    episodes: int
    series: int

    @property
    def name(self) -> str:
        """The run's name in file names."""
        return f"series-{self.series}.episodes-{self.episodes:05d}.{self.variant.replace(' ', '-')}"


def planned_runs(request: FewShotRequest) -> Iterator[FewShotRun]:
    """Yields all runs, one series after the other: an experiment that is stopped has complete series."""
    for series in range(request.series):
        for episodes in request.episodes:
            for variant in VARIANTS:
                yield FewShotRun(variant, episodes, series)


def make_config(pretrained: RunConfig, request: FewShotRequest, variant: str) -> RunConfig:
    """Returns a variant's configuration: the checkpoint's tokens, model and evaluation, and the paper's optimisation.

    The windows of the task hold as many steps as the windows of the checkpoint's first task of the same suite.

    Args:
        pretrained: the checkpoint's configuration.
        request: the experiment's.
        variant: one of `VARIANTS`.

    Raises:
        InputError: if an override is wrong. The message names its key.
    """
    plain = pretrained.model_dump(mode="json")
    suite = request.task.split("/")[0]
    similar = next((task for task in pretrained.tasks if task.name.split("/")[0] == suite), None)
    window = {"window_steps": similar.window_steps} if similar else {}
    init = str(request.checkpoint.absolute()) if variant == FINE_TUNED else None
    learner = plain["learner"] | PAPER_LEARNER | {"minutes": DEFAULT_MINUTES, "keep_checkpoints": 1, "init": init}
    defaults = {
        "name": "few-shot",
        "tasks": [TaskConfig(name=request.task, **window).model_dump(mode="json")],
        "tokens": plain["tokens"],
        "model": plain["model"] | {"dropout": PAPER_DROPOUT},
        "evaluation": plain["evaluation"],
        "learner": learner,
        "data": {"loaders": plain["data"]["loaders"]},
    }
    merged = _overridden(parse_config(defaults, "few-shot"), request.overrides).model_dump(mode="json")
    if variant == FROM_SCRATCH:
        merged["learner"]["learning_rate"] = request.scratch_rate or pretrained.learner.learning_rate
    return parse_config(merged, "few-shot")


def _overridden(config: RunConfig, overrides: tuple[str, ...]) -> RunConfig:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "few-shot"
        path.write_text(dump_config(config), "utf-8")
        try:
            return load_config(path, list(overrides))
        except InputError as error:
            # The temporary file's name means nothing to the user.
            raise InputError(str(error).removeprefix(f"{path}: ")) from error
