"""`gato-dist experts`: train, score and list experts."""

from pathlib import Path

from gato_dist.cli.number_types import positive_int, seed
from gato_dist.cli.parser import CommandGroup

TASKS_HELP = "tasks, such as 'metaworld/*', or a comma-separated list"


def add_commands(commands: CommandGroup) -> None:
    """Declares the actions of `experts`."""
    experts = commands.add_group("experts", help="train, score and list experts")
    train = experts.add_command("train", _train, help="train an expert with stable-baselines3")
    train.add_argument("task", metavar="TASK", help="such as dm_control/cartpole-balance")
    train.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="settings, such as algorithm=ppo learning_rate=0.0003",
    )
    train.add_argument(
        "--steps", type=positive_int, metavar="N", help="environment steps (default: the suite's number)"
    )
    train.add_argument("--seed", type=seed, metavar="N", help="random seed (default: 0, or the resumed training's)")
    train.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: runs/experts/SUITE.TASK)")
    train.add_argument("--resume", action="store_true", help="continue the training in its folder (default: a new one)")

    score = experts.add_command("score", _score, help="measure random and expert scores and keep them as references")
    score.add_argument("tasks", metavar="GLOB", help=TASKS_HELP)
    score.add_argument(
        "--episodes",
        type=positive_int,
        default=50,
        metavar="N",
        help="the expert's episodes per task; the random policy plays at least 50 (default: %(default)s)",
    )
    score.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="selects the reference seeds (default: %(default)s)"
    )
    score.add_argument(
        "--workers",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes that play in parallel (default: %(default)s)",
    )
    score.add_argument("--expert", metavar="KIND", help="kind of expert (default: each task's own)")
    score.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="the expert's options, such as nodes=50"
    )

    listing = experts.add_command("list", _list, help="list each task's expert and its measured score")
    listing.add_argument("tasks", nargs="?", default="*", metavar="GLOB", help=f"{TASKS_HELP} (default: all)")


def _train(
    *, task: str, overrides: list[str], steps: int | None, seed: int | None, out: Path | None, resume: bool
) -> None:
    from gato_dist.commands.expert_training import train_and_score

    train_and_score(task, overrides=overrides, steps=steps, seed=seed, out=out, resume=resume)


def _score(*, tasks: str, episodes: int, seed: int, workers: int, expert: str | None, overrides: list[str]) -> None:
    from gato_dist.commands.expert_training import parse_settings
    from gato_dist.evaluation.references import ReferenceRequest, score_experts
    from gato_dist.tasks import match_tasks

    score_experts(
        ReferenceRequest(
            tasks=match_tasks(tasks),
            episodes=episodes,
            seed=seed,
            kind=expert,
            options=parse_settings(overrides),
            workers=workers,
        )
    )


def _list(*, tasks: str) -> None:
    from gato_dist.commands.task_list import print_experts
    from gato_dist.tasks import match_tasks

    print_experts(match_tasks(tasks))
