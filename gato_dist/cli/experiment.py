"""The words of `gato-dist experiment`; what they do stands in few_shot.py."""

import argparse
from pathlib import Path
from typing import Any

from gato_dist.cli.arguments import positive, rate, seed
from gato_dist.utils.file_names import task_file_name


def add_experiment(commands: Any) -> None:
    experiment = commands.add_parser("experiment", help="whole experiments, resumable").add_subparsers(
        required=True, metavar="ACTION"
    )
    few = experiment.add_parser("few-shot", help="fine-tune on few episodes, beside training from scratch")
    few.add_argument("task", metavar="TASK", help="one that the checkpoint was not trained on")
    few.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    few.add_argument("overrides", nargs="*", metavar="key=value", help="of every run, such as learner.minutes=2")
    few.add_argument("--data", metavar="DATASET", help="episodes of the task; collected where not given")
    few.add_argument("--episodes", type=sizes, default=(1, 10, 100), metavar="N,N,…", help="subsets; 1,10,100")
    few.add_argument("--series", type=positive, default=3, metavar="N", help="with subsets and seeds of their own")
    few.add_argument("--scores", type=positive, default=20, metavar="N", help="episodes that each run is scored on")
    few.add_argument("--scratch-rate", type=rate, metavar="R", help="learning rate from scratch; the checkpoint's")
    few.add_argument("--seed", type=seed, default=0)
    few.add_argument("--out", type=Path, metavar="DIR", help="runs/few-shot.SUITE.TASK; goes on with what is there")
    few.set_defaults(command=_few_shot)


def sizes(text: str) -> tuple[int, ...]:
    """Numbers of episodes, sorted, from `1,10,100`."""
    return tuple(sorted({positive(part) for part in text.split(",")}))


def _few_shot(options: argparse.Namespace) -> int | None:
    from gato_dist.experiments.few_shot import few_shot
    from gato_dist.experiments.few_shot_plan import FewShotRequest

    out = options.out or Path("runs") / f"few-shot.{task_file_name(options.task)}"
    few_shot(
        FewShotRequest(
            task=options.task, checkpoint=options.checkpoint, out=out, data=options.data, episodes=options.episodes,
            series=options.series, scores=options.scores, scratch_rate=options.scratch_rate, seed=options.seed,
            overrides=tuple(options.overrides),
        )
    )  # fmt: skip
    return None
