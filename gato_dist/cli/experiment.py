"""`gato-dist experiment`: whole experiments that can be interrupted and continued."""

from pathlib import Path

from gato_dist.cli.number_types import positive_float, positive_int, seed
from gato_dist.cli.parser import CommandGroup
from gato_dist.utils.file_names import task_file_name


def add_commands(commands: CommandGroup) -> None:
    """Declares the actions of `experiment`."""
    experiment = commands.add_group("experiment", help="run whole experiments; a second call continues them")
    few_shot = experiment.add_command(
        "few-shot", _few_shot, help="fine-tune on few episodes, and train from scratch for comparison"
    )
    few_shot.add_argument("task", metavar="TASK", help="a task that the checkpoint was not trained on")
    few_shot.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    few_shot.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="set keys of every run's config, such as learner.minutes=2",
    )
    few_shot.add_argument(
        "--data", metavar="DATASET", help="folder or URL with episodes of the task (default: collect the expert's)"
    )
    few_shot.add_argument(
        "--episodes",
        type=episode_counts,
        default=(1, 10, 100),
        metavar="N,N,…",
        help="numbers of training episodes to compare (default: 1,10,100)",
    )
    few_shot.add_argument(
        "--series",
        type=positive_int,
        default=3,
        metavar="N",
        help="repetitions, each with other episodes and another seed (default: %(default)s)",
    )
    few_shot.add_argument(
        "--scores",
        type=positive_int,
        default=20,
        metavar="N",
        help="held-out episodes that each run is scored on (default: %(default)s)",
    )
    few_shot.add_argument(
        "--scratch-rate",
        type=positive_float,
        metavar="R",
        help="learning rate for training from scratch (default: the checkpoint's)",
    )
    few_shot.add_argument("--seed", type=seed, default=0, metavar="N", help="random seed (default: %(default)s)")
    few_shot.add_argument("--out", type=Path, metavar="DIR", help="folder (default: runs/few-shot.SUITE.TASK)")


def episode_counts(text: str) -> tuple[int, ...]:
    """Parses numbers of episodes, such as `1,10,100`, and sorts them.

    Raises:
        ArgumentTypeError: if one of them is not a positive integer.
    """
    return tuple(sorted({positive_int(part) for part in text.split(",")}))


def _few_shot(
    *,
    task: str,
    checkpoint: Path,
    overrides: list[str],
    data: str | None,
    episodes: tuple[int, ...],
    series: int,
    scores: int,
    scratch_rate: float | None,
    seed: int,
    out: Path | None,
) -> None:
    from gato_dist.experiments.few_shot import few_shot
    from gato_dist.experiments.few_shot_plan import FewShotRequest

    few_shot(
        FewShotRequest(
            task=task,
            checkpoint=checkpoint,
            out=out or Path("runs") / f"few-shot.{task_file_name(task)}",
            data=data,
            episodes=episodes,
            series=series,
            scores=scores,
            scratch_rate=scratch_rate,
            seed=seed,
            overrides=tuple(overrides),
        )
    )
