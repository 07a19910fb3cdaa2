"""`gato-dist evaluate`, `report`, `compare` and `diagnose`."""

from pathlib import Path

from gato_dist.cli.number_types import non_negative_float, non_negative_int, positive_int
from gato_dist.cli.parser import CommandGroup


def add_commands(commands: CommandGroup) -> None:
    """Declares the commands that score checkpoints and show scores."""
    evaluate = commands.add_command("evaluate", _evaluate, help="score a checkpoint on held-out seeds")
    evaluate.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    evaluate.add_argument("--tasks", default="*", metavar="GLOB", help="which of its tasks (default: all)")
    evaluate.add_argument(
        "--episodes", type=positive_int, default=50, metavar="N", help="episodes per task (default: %(default)s)"
    )
    evaluate.add_argument(
        "--workers",
        type=positive_int,
        default=1,
        metavar="N",
        help="processes that play in parallel (default: %(default)s)",
    )
    evaluate.add_argument(
        "--temperature",
        type=non_negative_float,
        metavar="T",
        help="sampling temperature of actions; 0 is greedy (default: the value in the checkpoint's config)",
    )
    evaluate.add_argument(
        "--prompt-tokens",
        type=non_negative_int,
        metavar="N",
        help="tokens of an expert's demonstration before each episode; 0 is none (default: the value in the "
        "checkpoint's config)",
    )
    evaluate.add_argument(
        "--out", type=Path, metavar="CSV", help="a new file with the columns of scores.csv (default: not written)"
    )
    evaluate.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="a new file with scores, success rates, episodes and aggregates (default: not written)",
    )

    report = commands.add_command("report", _report, help="write a run's report.html again")
    report.add_argument("run", type=Path, metavar="RUN", help="run folder")

    compare = commands.add_command("compare", _compare, help="show the scores of runs side by side")
    compare.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders, or files from `evaluate --json`"
    )
    compare.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="an .html page with curves, or an .svg picture of the tasks (default: tables on the terminal alone)",
    )

    diagnose = commands.add_command("diagnose", _diagnose, help="show what a checkpoint gets wrong on a task")
    diagnose.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    diagnose.add_argument("task", metavar="TASK")
    diagnose.add_argument(
        "--episodes",
        type=positive_int,
        default=10,
        metavar="N",
        help="episodes of the expert, and of Gato in each mode (default: %(default)s)",
    )


def _evaluate(
    *,
    checkpoint: Path,
    tasks: str,
    episodes: int,
    workers: int,
    temperature: float | None,
    prompt_tokens: int | None,
    out: Path | None,
    json: Path | None,
) -> None:
    from gato_dist.evaluation.checkpoint import EvaluationRequest, evaluate_checkpoint
    from gato_dist.evaluation.players import EvaluationOverrides

    evaluate_checkpoint(
        EvaluationRequest(
            checkpoint=checkpoint,
            tasks=tasks,
            episodes=episodes,
            workers=workers,
            overrides=EvaluationOverrides(temperature=temperature, prompt_tokens=prompt_tokens),
            table=out,
            details=json,
        )
    )


def _report(*, run: Path) -> None:
    from gato_dist.report.run_page import write_report

    print(write_report(run))


def _compare(*, runs: list[Path], out: Path | None) -> None:
    from gato_dist.report.compare import compare_runs

    compare_runs(runs, out)


def _diagnose(*, checkpoint: Path, task: str, episodes: int) -> None:
    from gato_dist.evaluation.diagnose import diagnose

    diagnose(checkpoint, task, episodes)
