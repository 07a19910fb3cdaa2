"""`make install` on machines that lack some program. Fake programs record how they are called."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from gato_dist.utils.missing_packages import INSTALL_CLONES
from tests.support.paths import ROOT

SYSTEM = ("sh", "env", "grep", "id", "ldconfig", "make", "mkdir", "touch", "chmod", "cat")
UV = """#!/bin/sh
echo "uv $*" >> said
case "$1" in venv) mkdir -p .venv/bin; echo '#!/bin/sh' > .venv/bin/python; chmod 755 .venv/bin/python;; esac
"""
OTHER_PYTHON = "#!/bin/sh\nexit 1\n"  # no 3.11, and no venv
PYTHON = "#!/bin/sh\n"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


class Machine:
    """A checkout and a PATH of chosen programs."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.programs = folder / "checkout", folder / "programs"
        self.checkout.mkdir()
        self.programs.mkdir()
        for name in ("Makefile", "pyproject.toml", "uv.lock"):
            shutil.copy(ROOT / name, self.checkout)
        for name in SYSTEM:
            (self.programs / name).symlink_to(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"))

    def add(self, name: str, script: str) -> Path:
        path = self.programs / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def make(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs / "make"), *words, "install"]
        return subprocess.run(
            command, cwd=self.checkout, env={"PATH": str(self.programs)} | env, capture_output=True, text=True
        )

    def said(self) -> list[str]:
        path = self.checkout / "said"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def test_uv_downloads_python_if_none_has_version_3_11(machine):
    machine.add("uv", UV)
    machine.add("python3", OTHER_PYTHON)
    done = machine.make()
    assert done.returncode == 0, done.stderr
    venv, export, install = machine.said()
    assert "--managed-python --python 3.11 .venv" in venv
    assert "--frozen" in export
    assert "--constraint .venv/constraints.txt" in install


@pytest.mark.parametrize("name", ["python3.11", "python3"])
def test_an_installed_python_3_11_is_used(machine, name):
    machine.add("uv", UV)
    found = machine.add(name, PYTHON)
    assert machine.make().returncode == 0
    assert f"--python {found} .venv" in machine.said()[0]


def test_a_given_python_is_used_or_refused(machine):
    machine.add("uv", UV)
    machine.add("python3.11", PYTHON)
    refused = machine.make(f"PYTHON={machine.add('older', OTHER_PYTHON)}")
    assert refused.returncode == 2
    assert "older is no Python 3.11" in refused.stdout
    assert machine.said() == []
    named = machine.add("named", PYTHON)
    assert machine.make(f"PYTHON={named}").returncode == 0
    assert f"--python {named} .venv" in machine.said()[0]


def test_a_missing_package_is_named_if_uv_cannot_be_installed(machine):
    machine.add("python3", OTHER_PYTHON)
    done = machine.make()
    assert done.returncode == 2
    assert "apt-get install python3-venv" in done.stdout
    assert not (machine.checkout / ".uv").exists()


def test_further_extras_are_added_to_the_installed_ones(machine):
    machine.add("uv", UV)
    machine.add("python3", PYTHON)
    for words in ((), (), ("EXTRAS=live,cluster",)):
        assert machine.make(*words).returncode == 0
    installed = [re.search(r"\.\[(.*)\]", line)[1] for line in machine.said() if line.startswith("uv pip install")]
    assert installed == ["live,suites,procgen,video,images,minari,dev,docs", "live,cluster"]


def test_the_lock_file_uses_pypi_alone():
    hosts = set(re.findall(r'"https?://([^/"]+)', (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}


def test_the_pip_command_for_procgen_matches_the_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [line.split(";")[0] for line in extras["procgen"]] == INSTALL_CLONES.split()[3:]


def test_the_image_contains_the_files_that_the_installation_reads():
    taken = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {"Makefile", "README.md", "configs", "pyproject.toml", "uv.lock"} | {
        name.rstrip("*") for name in packages
    } == taken
    assert all((ROOT / name).exists() for name in taken)
