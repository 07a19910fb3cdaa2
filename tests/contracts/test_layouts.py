"""The shipped specs agree with the packages, and listing tasks imports none of the packages."""

import subprocess
import sys

import pytest

from gato_dist.envs.layouts import FILE
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.tasks import task_entry, task_table
from tests.contracts.layouts import line

SHIPPED = [name for name, entry in task_table().items() if not entry.user_defined]
SUITES = dict.fromkeys(name.split("/")[0] for name in SHIPPED)
# The first and the last of every suite.
SAMPLE = [sorted(name for name in SHIPPED if name.startswith(f"{suite}/"))[end] for suite in SUITES for end in (0, -1)]
HEAVY = ("torch", "ray", "envpool", "gymnasium", "pyarrow", "tensorflow", "stable_baselines3")


def written() -> dict[str, str]:
    return dict(zip(SHIPPED, FILE.read_text("utf-8").splitlines(), strict=True))


def test_the_table_holds_exactly_the_shipped_tasks():
    assert [task_spec(name).name for name in written()] == SHIPPED


@pytest.mark.parametrize("name", list(dict.fromkeys(SAMPLE)))
def test_a_layout_in_the_table_equals_the_packages(name):
    assert written()[name] == line(task_entry(name))


@pytest.mark.slow
def test_every_layout_in_the_table_equals_its_packages():
    assert written() == {name: line(task_entry(name)) for name in SHIPPED}


def test_the_environment_that_is_made_has_the_layout_of_the_table():
    env = make_env("metaworld/reach-v3", [0])
    env.close()
    assert env.spec == task_spec("metaworld/reach-v3")


@pytest.mark.parametrize("arguments", [["tasks"], ["experts", "list"]])
def test_tasks_are_listed_without_their_packages(arguments):
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    code = f"{block}; from gato_dist.cli.main import main; sys.exit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "cannot run here" not in done.stdout
    assert len(done.stdout.splitlines()) == len(SHIPPED) + 1
