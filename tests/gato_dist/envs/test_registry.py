"""Finding suites by name, and the errors that say what a new suite lacks."""

from pathlib import Path
from types import ModuleType

import pytest

from gato_dist.envs.registry import as_suite, find_suite
from gato_dist.envs.suite import Suite
from gato_dist.envs.suites import mujoco
from gato_dist.errors import InputError
from gato_dist.tasks import TaskEntry

SUITES = Path(mujoco.__file__).parent


@pytest.mark.parametrize("family", sorted(path.stem for path in SUITES.glob("*.py") if path.stem != "__init__"))
def test_every_module_of_the_folder_is_a_suite(family):
    assert isinstance(find_suite(TaskEntry("toy/one", "One-v0", family=family)), Suite)


def test_a_family_without_a_module_is_refused_with_the_known_families():
    with pytest.raises(InputError, match=r"^toy/one: no suite 'toy'; .* ale, babyai, dm_control"):
        find_suite(TaskEntry("toy/one", "One-v0"))


def test_a_suite_without_a_function_is_refused_with_its_signature():
    module = ModuleType("gato_dist.envs.suites.toy")
    module.spec = mujoco.spec
    with pytest.raises(InputError, match=r"suites\.toy: a suite needs the functions make\(entry, seeds, threads\)"):
        as_suite(module)
