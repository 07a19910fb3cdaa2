"""The words of `gato-dist evaluate`, `report`, `compare` and `diagnose`."""

import argparse
from pathlib import Path
from typing import Any

from gato_dist.cli.arguments import amount, not_negative, positive


def add_scores(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="score a checkpoint")
    evaluate.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    evaluate.add_argument("--tasks", default="*", metavar="GLOB")
    evaluate.add_argument("--episodes", type=positive, default=50, help="of each task")
    evaluate.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that play at once")
    evaluate.add_argument(
        "--temperature", type=amount, metavar="T", help="0: greedy; the checkpoint's own evaluation's by default"
    )
    evaluate.add_argument(
        "--prompt-tokens", type=not_negative, metavar="N",
        help="of an expert's demonstration before every episode; 0: none; the checkpoint's own evaluation's by default",
    )  # fmt: skip
    evaluate.add_argument("--out", type=Path, metavar="CSV", help="a new file, with the columns of a run's scores.csv")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="a new file: also success, episodes, aggregates")
    evaluate.set_defaults(command=_evaluate)

    report = commands.add_parser("report", help="write report.html of a run folder")
    report.add_argument("run", type=Path, metavar="RUN")
    report.set_defaults(command=_report)

    compare = commands.add_parser("compare", help="put runs side by side")
    compare.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders, or files that `evaluate --json` wrote"
    )
    compare.add_argument(
        "--out", type=Path, metavar="FILE", help="an .html page with curves, or an .svg picture of the tasks"
    )
    compare.set_defaults(command=_compare)

    diagnose = commands.add_parser("diagnose", help="what a checkpoint gets wrong on a task")
    diagnose.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    diagnose.add_argument("task", metavar="TASK")
    diagnose.add_argument("--episodes", type=positive, default=10, help="of the expert, and of Gato each way")
    diagnose.set_defaults(command=_diagnose)


def _evaluate(options: argparse.Namespace) -> int | None:
    from gato_dist.evaluation.checkpoint import EvaluationRequest, evaluate_checkpoint
    from gato_dist.evaluation.players import EvaluationOverrides

    evaluate_checkpoint(
        EvaluationRequest(
            checkpoint=options.checkpoint, tasks=options.tasks, episodes=options.episodes, workers=options.workers,
            overrides=EvaluationOverrides(temperature=options.temperature, prompt_tokens=options.prompt_tokens),
            table=options.out, details=options.json,
        )
    )  # fmt: skip
    return None


def _report(options: argparse.Namespace) -> int | None:
    from gato_dist.report.run_page import write_report

    print(write_report(options.run))
    return None


def _compare(options: argparse.Namespace) -> int | None:
    from gato_dist.report.compare import compare_runs

    compare_runs(options.runs, options.out)
    return None


def _diagnose(options: argparse.Namespace) -> int | None:
    from gato_dist.evaluation.diagnose import diagnose

    diagnose(options.checkpoint, options.task, options.episodes)
    return None
