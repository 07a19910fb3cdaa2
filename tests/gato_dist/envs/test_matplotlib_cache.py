"""Importing envpool creates no cache folder that the users of a machine share."""

import importlib.util
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gato_dist.envs.matplotlib_cache import set_matplotlib_cache


@pytest.fixture(autouse=True)
def no_folder_chosen(monkeypatch):
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(importlib.util.find_spec("envpool") is None, reason="needs envpool")
def test_envpool_puts_matplotlibs_cache_into_the_users_home(tmp_path):
    program = (
        "from gato_dist.envs.envpool_vector import import_envpool; import_envpool()\n"
        "import matplotlib; print(matplotlib.get_cachedir())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert ran.stdout.strip() == str(tmp_path / ".cache" / "matplotlib"), ran.stderr


def test_the_cache_follows_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    set_matplotlib_cache()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "matplotlib")


def test_a_folder_that_the_user_chose_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    set_matplotlib_cache()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path)


def test_a_user_without_a_home_gets_a_private_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    set_matplotlib_cache()
    folder = Path(os.environ["MPLCONFIGDIR"])
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == os.getuid()
    finally:
        folder.rmdir()
