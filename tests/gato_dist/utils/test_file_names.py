"""File names of tasks: plain names stay as they are, others are valid everywhere and unique."""

import re
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_dist.tasks import task_table
from gato_dist.utils.file_names import task_file_name


def test_every_built_in_task_keeps_its_plain_name():
    for task in task_table():
        assert task_file_name(task) == task.replace("/", ".")
    assert task_file_name("minari/mujoco/hopper/expert-v0") == "minari.mujoco.hopper.expert-v0"
    assert task_file_name("toy/arm", "-") == "toy-arm"


@given(st.text(max_size=200) | st.from_regex(r"gymnasium/[a-zA-Z:\[\]*?%. ]{1,9}"))
def test_any_other_name_becomes_valid_for_every_tool(name):
    folder = task_file_name(f"gymnasium/{name}")
    assert re.fullmatch(r"[\w.~-]{1,110}", folder, re.ASCII)
    assert not folder.startswith(".")
    assert not folder.endswith((".", " "))


@pytest.mark.parametrize("task", ["con/x", "NUL/a", "com1/x:y", "lpt9/b", "Aux/a.b"])
@pytest.mark.parametrize("slash", [".", "-"])
def test_no_file_name_is_a_windows_device(task, slash):
    assert not PureWindowsPath(task_file_name(task, slash)).is_reserved()


def test_different_tasks_have_folders_that_differ_even_without_case():
    names = [
        "gymnasium/seek:make", "gymnasium/Seek:make", "gymnasium/seek_make", "gymnasium/seek/make",
        "gymnasium/seek.make", "gymnasium/seek make", "gymnasium/" + "a" * 150, "gymnasium/" + "a" * 151,
        "gymnasium/größe", "gymnasium/gro\u0308ße",
    ]  # fmt: skip
    assert len({task_file_name(name).lower() for name in names}) == len(names)
