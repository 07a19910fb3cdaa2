"""The command `gato-dist`. Exit codes: 0 done, 1 failed while running, 2 the user's input is wrong, 130 interrupted."""

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from gato_dist.cli.arguments import amount, finite, positive, seed
from gato_dist.cli.checkpoint import add_checkpoint
from gato_dist.cli.dataset import add_dataset
from gato_dist.cli.experiment import add_experiment
from gato_dist.cli.scores import add_scores
from gato_dist.errors import InputError, brief
from gato_dist.utils.locale_support import check_option_paths, make_stdout_lossy
from gato_dist.utils.signals import interrupt_on_terminate

# What no file can be called: the user's mistake, whichever argument it was.
NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}


def main(arguments: list[str] | None = None) -> int:
    """Parses and runs one command; returns its exit code. Errors are one line on stderr."""
    # Set before torch or TensorFlow are loaded: later they no longer listen.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    interrupt_on_terminate()
    make_stdout_lossy()
    options = _parse(arguments)
    try:
        check_option_paths(vars(options))
        return options.command(options) or 0
    except InputError as error:
        print(f"gato-dist: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"gato-dist: {error}; install it with: pip install 'gato-dist[live,suites]'", file=sys.stderr)
        return 2
    except ImportError as error:  # it names what to install, or a library that cannot be loaded
        print(f"gato-dist: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gato-dist: interrupted", file=sys.stderr)
        return 130
    except (RuntimeError, OSError, MemoryError) as error:
        print(f"gato-dist: {brief(error, limit=None)}", file=sys.stderr)
        return 2 if getattr(error, "errno", None) in NO_PATH else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes no key=value after a flag by itself.
    if rest and not (hasattr(options, "overrides") and all("=" in word and not word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides += rest
    return options


class _Parser(argparse.ArgumentParser):
    """Refuses wrong words in one line, as everything else is refused."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gato-dist", description="Trains one transformer to act in many worlds.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="experts, replay, learner and evaluation, all at once")
    train.add_argument("config", metavar="CONFIG", help="YAML file, such as configs/quickstart.yaml")
    train.add_argument("overrides", nargs="*", metavar="key=value", help="over the config's, such as learner.batch=64")
    train.add_argument("--run", type=Path, metavar="DIR", help="run folder; runs/<config's name> by default")
    train.add_argument("--resume", action="store_true", help="continue the run in its folder")
    train.add_argument("--data", metavar="DATASET", help="train from disk: no experts, no Ray, no scores")
    train.add_argument("--init", type=Path, metavar="CHECKPOINT", help="fine-tune: a new run with these weights")
    train.set_defaults(command=_train)

    _add_experts(commands)

    tasks = commands.add_parser("tasks", help="list tasks, their experts and reference scores")
    tasks.add_argument("tasks", nargs="?", default="*", metavar="GLOB")
    tasks.add_argument(
        "--speed",
        type=amount,
        default=0.0,
        metavar="SECONDS",
        help="let each expert play that long for its episodes/hour",
    )
    tasks.set_defaults(command=_tasks)

    add_scores(commands)

    _add_play(commands)

    _add_collect(commands)
    _add_generate(commands)
    add_dataset(commands)
    add_checkpoint(commands)
    add_experiment(commands)

    model = commands.add_parser("model", help="parameters of model presets, by part")
    model.add_argument("presets", nargs="*", metavar="PRESET", help="all where none is named")
    model.set_defaults(command=_model)

    _add_tokenizer(commands)

    doctor = commands.add_parser("doctor", help="whether this machine can do it all, and what to mend")
    doctor.add_argument("--json", action="store_true", help="findings as JSON, once all are there")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_experts(commands: Any) -> None:
    experts = commands.add_parser("experts", help="train and score experts").add_subparsers(
        required=True, metavar="ACTION"
    )
    learn = experts.add_parser("train", help="train an expert with stable-baselines3")
    learn.add_argument("task", metavar="TASK", help="such as dm_control/cartpole-balance")
    learn.add_argument("overrides", nargs="*", metavar="key=value", help="such as algorithm=ppo learning_rate=0.0003")
    learn.add_argument("--steps", type=positive, help="environment steps; the suite's default where not given")
    learn.add_argument("--seed", type=seed)
    learn.add_argument("--out", type=Path, metavar="DIR", help="runs/experts/SUITE.TASK by default")
    learn.add_argument("--resume", action="store_true", help="continue the training in its folder")
    learn.set_defaults(command=_experts_train)
    score = experts.add_parser("score", help="measure random and expert scores, and keep them as references")
    score.add_argument("tasks", metavar="GLOB", help="such as 'metaworld/*', or a comma-separated list")
    score.add_argument("--episodes", type=positive, default=50)
    score.add_argument("--seed", type=seed, default=0)
    score.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that play at once")
    score.add_argument("--expert", metavar="KIND", help="another kind of expert than the task's own")
    score.add_argument("overrides", nargs="*", metavar="key=value", help="the expert's options, such as nodes=50")
    score.set_defaults(command=_experts_score)
    listed = experts.add_parser("list", help="each task's expert, and whether it was measured")
    listed.add_argument("tasks", nargs="?", default="*", metavar="GLOB")
    listed.set_defaults(command=_experts_list)


def _add_play(commands: Any) -> None:
    play = commands.add_parser("play", help="make a video of a policy in one task")
    play.add_argument("checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="for --policy gato")
    play.add_argument("task", metavar="TASK")
    play.add_argument("--policy", choices=("gato", "expert", "random"), help="gato where a CHECKPOINT is given")
    play.add_argument("--video", type=Path, required=True, metavar="FILE", help="a new .mp4 or .gif")
    play.add_argument("--episodes", type=positive, default=1)
    play.add_argument("--seed", type=seed, default=0, metavar="S", help="first of the worlds that evaluation plays in")
    play.add_argument("--max-steps", type=positive, metavar="N", help="show no more than N steps of an episode")
    play.add_argument("--fps", type=positive, metavar="N", help="frames (steps) a second; the suite's own by default")
    play.set_defaults(command=_play)


def _add_generate(commands: Any) -> None:
    generate = commands.add_parser("generate", help="let a checkpoint describe an image, answer, or go on with a text")
    generate.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    generate.add_argument("--image", type=Path, metavar="FILE")
    generate.add_argument("--text", default="", help="what to go on with, such as 'Q: what colour is it? A:'")
    generate.add_argument("--temperature", type=amount, default=0.0, metavar="T", help="0, the default: greedy")
    generate.add_argument("--max-tokens", type=positive, default=64, metavar="N")
    generate.add_argument("--seed", type=seed, default=0, help="of what is drawn at a temperature")
    generate.set_defaults(command=_generate)


def _add_collect(commands: Any) -> None:
    collect = commands.add_parser("collect", help="episodes of experts, or of Gato, on disk, as a dataset")
    what = collect.add_mutually_exclusive_group()
    # Not given, it must not undo the option of its name.
    config: dict[str, Any] = {"nargs": "?", "default": argparse.SUPPRESS}
    what.add_argument("config", metavar="CONFIG", help="a run's YAML file: what its experts demonstrate", **config)
    what.add_argument("--config", metavar="CONFIG", help="the same")
    tasks = "such as 'metaworld/*', or a list with commas; of the CONFIG's where one is given"
    collect.add_argument("--tasks", metavar="GLOB", help=tasks)
    much = collect.add_mutually_exclusive_group(required=True)
    much.add_argument("--episodes", type=positive, default=0, metavar="N", help="kept ones of each task")
    much.add_argument("--steps", type=positive, default=0, metavar="N", help="at least so many of each task")
    collect.add_argument("--out", required=True, metavar="DIR", help="or a URL; goes on with what is there")
    collect.add_argument("--policy", default="expert", metavar="expert|random|CHECKPOINT", help="who plays")
    collect.add_argument("--min-fraction", type=finite, metavar="F", help="of the expert's score (paper: 0.8)")
    collect.add_argument("--seed", type=seed, default=0, help="another one draws other worlds")
    collect.add_argument("--workers", type=positive, metavar="N", help="processes; 1, or a cluster's CPUs")
    collect.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster, or auto")
    collect.set_defaults(command=_collect)


def _add_tokenizer(commands: Any) -> None:
    tokenizer = commands.add_parser("tokenizer", help="train a text tokenizer")
    train = tokenizer.add_subparsers(required=True, metavar="ACTION").add_parser(
        "train", help="a SentencePiece model, for tokens.text"
    )
    train.add_argument(
        "--input", type=Path, nargs="+", required=True, metavar="FILE", help="plain text, a sentence a line"
    )
    train.add_argument("--vocab-size", type=positive, default=32000)
    train.add_argument("--out", type=Path, required=True, metavar="FILE")
    train.set_defaults(command=_tokenizer_train)


def _train(options: argparse.Namespace) -> int | None:
    from gato_dist.config.run_config import load_config

    init = [f"learner.init={options.init.absolute()}"] if options.init else []
    config = load_config(options.config, options.overrides + init)
    from gato_dist.records.run_folder import RunFolder

    folder = RunFolder(options.run or Path("runs") / config.name)
    if options.data or not config.tasks:
        from gato_dist.training.offline import train_from_disk

        train_from_disk(config, folder, options.resume, options.data)
        return None
    from gato_dist.utils.missing_packages import require_reverb

    require_reverb()
    from gato_dist.training.live import train

    train(config, folder, options.resume)
    return None


def _experts_train(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.expert_training import train_and_score

    train_and_score(options.task, options.overrides, options.steps, options.seed, options.out, options.resume)
    return None


def _experts_score(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.expert_training import parse_overrides
    from gato_dist.evaluation.references import ReferenceRequest, score_experts
    from gato_dist.tasks import match_tasks

    score_experts(
        ReferenceRequest(
            tasks=match_tasks(options.tasks), episodes=options.episodes, seed=options.seed, kind=options.expert,
            options=parse_overrides(options.overrides), workers=options.workers,
        )
    )  # fmt: skip
    return None


def _experts_list(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.task_list import print_experts
    from gato_dist.tasks import match_tasks

    print_experts(match_tasks(options.tasks))
    return None


def _tasks(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.task_list import print_tasks
    from gato_dist.tasks import match_tasks

    print_tasks(match_tasks(options.tasks), options.speed)
    return None


def _play(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.play import Request, play

    play(
        Request(
            options.task, options.video, options.policy, options.checkpoint, options.episodes, options.seed,
            options.max_steps, options.fps,
        )
    )  # fmt: skip
    return None


def _generate(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.generate import Request, generate

    print(generate(Request(**{key: getattr(options, key) for key in Request.__dataclass_fields__})))
    return None


def _model(options: argparse.Namespace) -> int | None:
    from gato_dist.commands.model_table import print_models

    print_models(options.presets)
    return None


def _tokenizer_train(options: argparse.Namespace) -> int | None:
    from gato_dist.tokens.text import train_text_model

    model = train_text_model(options.input, options.vocab_size, options.out)
    print(f"{options.out}: {model.size} tokens; use it with tokens.text={options.out}")
    return None


def _doctor(options: argparse.Namespace) -> int | None:
    from gato_dist.doctor.examine import examine, examine_json

    return examine_json() if options.json else examine()


def _collect(options: argparse.Namespace) -> int | None:
    from gato_dist.config.data_sections import TaskConfig
    from gato_dist.config.run_config import load_config
    from gato_dist.tasks import match_tasks, select_tasks

    if options.config:
        tasks = load_config(options.config).tasks
        if options.tasks:
            chosen = select_tasks([task.name for task in tasks], options.tasks, options.config)
            tasks = tuple(task for task in tasks if task.name in chosen)
    elif options.tasks:
        tasks = tuple(TaskConfig(name=name) for name in match_tasks(options.tasks))
    else:
        raise InputError("collect: give a CONFIG, or --tasks GLOB")
    from gato_dist.datasets.collect import collect
    from gato_dist.datasets.collect_plan import CollectionGoal
    from gato_dist.datasets.collect_request import CollectionRequest
    from replay.dataset.storage import Location

    collect(
        CollectionRequest(
            tasks=tasks, goal=CollectionGoal(options.episodes, options.steps), out=Location.of(options.out),
            policy=options.policy, min_fraction=options.min_fraction, seed=options.seed, workers=options.workers,
            address=options.address,
        )
    )  # fmt: skip
    return None
