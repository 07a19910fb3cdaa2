"""The command line as a whole: help, refusals in one line, and `key=value` among flags. No command is run."""

import argparse
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gato_dist.cli.main import make_parser
from gato_dist.cli.parser import parse_command


def test_overrides_may_stand_before_between_and_after_flags():
    arguments = ["train", "c.yaml", "seed=1", "--run", "runs/x", "learner.batch=2", "--resume", "name=y"]
    _, options = parse_command(make_parser(), arguments)
    assert options["overrides"] == ["seed=1", "learner.batch=2", "name=y"]
    assert (options["config"], options["run"], options["resume"]) == ("c.yaml", Path("runs/x"), True)


def test_a_single_argument_of_play_is_the_task():
    _, options = parse_command(make_parser(), ["play", "ale/pong", "--video", "v.mp4"])
    assert (options["checkpoint"], options["task"]) == (None, "ale/pong")


@pytest.mark.parametrize("arguments", [["c.yaml"], ["--config", "c.yaml"]])
def test_collect_takes_its_config_as_argument_or_option(arguments):
    _, options = parse_command(make_parser(), ["collect", *arguments, "--episodes", "1", "--out", "data"])
    assert options["config"] == "c.yaml"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "gato-dist: the following arguments are required: COMMAND (gato-dist --help)"),
        (["train"], "gato-dist train: the following arguments are required: CONFIG (gato-dist train --help)"),
        (["train", "c.yaml", "--run", "x", "word"], "gato-dist: unrecognized arguments: word (gato-dist --help)"),
        (["report", "runs/x", "a=b"], "gato-dist: unrecognized arguments: a=b (gato-dist --help)"),
        (["experts"], "gato-dist experts: the following arguments are required: ACTION (gato-dist experts --help)"),
        (
            ["evaluate", "c", "--episodes", "0"],
            "gato-dist evaluate: argument --episodes: 0 is not between 1 and 2147483647 (gato-dist evaluate --help)",
        ),
        (
            ["collect", "--tasks", "x", "--out", "d", "--episodes", "1", "--steps", "1"],
            "gato-dist collect: argument --steps: not allowed with argument --episodes (gato-dist collect --help)",
        ),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line_with_exit_code_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        parse_command(make_parser(), arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"{message}\n"


@pytest.mark.parametrize("command", ["", "train", "collect", "experiment few-shot", "dataset export"])
def test_help_fits_a_narrow_terminal_and_an_ascii_locale(command):
    environment = os.environ | {"COLUMNS": "60", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "gato_dist", *command.split(), "--help"],
        capture_output=True,
        env=environment,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert max(map(len, done.stdout.splitlines())) <= 60


def test_every_option_is_a_keyword_parameter_of_its_commands_handler():
    commands = list(_leaf_commands(make_parser()))
    assert len(commands) > 20
    for parser in commands:
        options = {action.dest for action in parser._actions} - {"help"}
        assert options == set(inspect.signature(parser.get_default("handler")).parameters), parser.prog


def _leaf_commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for child in group.choices.values():
            yield from _leaf_commands(child)
