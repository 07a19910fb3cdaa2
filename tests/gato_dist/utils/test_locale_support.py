"""Locales that are not UTF-8: commands work, and file names that native libraries would not find are refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gato_dist.cli.main import main
from gato_dist.errors import InputError
from gato_dist.utils.locale_support import check_path_encoding
from replay.dataset.dataset import SETTINGS
from replay.dataset.storage import Location
from replay.dataset.writing import EpisodeStream, write_dataset
from tests.support.episodes import buttons
from tests.support.fakes import BUTTONS
from tests.support.paths import ROOT

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
OURS = r"(gato_dist|actors|learner|replay)\b"
# A file that is read or written in the locale's encoding is an error.
COMMAND = f"""
import sys, warnings
warnings.simplefilter("ignore")
warnings.filterwarnings("error", category=EncodingWarning, module={OURS!r})
from gato_dist.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONIO"))}
    return subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", COMMAND, *words],
        env=kept | {"PYTHONPATH": str(ROOT)} | environment, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def latin(tmp_path) -> dict[str, str]:
    if not shutil.which("localedef"):
        pytest.skip("localedef, which makes a locale, is not installed")
    made = subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", tmp_path / "en_US"], check=False)
    if made.returncode:
        pytest.skip("localedef has no definition of en_US in ISO-8859-1")
    return {"LOCPATH": str(tmp_path), "LC_ALL": "en_US", "PYTHONUTF8": "0"}


def check_commands(environment: dict[str, str], folder: Path) -> None:
    """Commands that read shipped YAML, print what ASCII lacks, and write and read a dataset."""
    write_dataset(folder / "set", [EpisodeStream(BUTTONS, [buttons(3, 0)])], "fake", "")
    for words in (
        ["tasks", "metaworld/reach-v3"],
        ["dataset", "card", str(folder / "set")],
        ["dataset", "info", str(folder / "set"), "--html", str(folder / "page.html")],
        ["dataset", "validate", str(folder / "set")],
    ):
        done = run(environment, *words)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        assert done.stderr == b""


@pytest.mark.parametrize("environment", [PLAIN, {"PYTHONIOENCODING": "ascii"}], ids=["locale", "stdout"])
def test_commands_work_in_an_ascii_locale(environment, tmp_path):
    check_commands(environment, tmp_path)
    said = run(environment, "tasks", "metaworld/reach-v3").stdout
    assert b"772.54 ? " in said


def test_commands_work_in_a_latin_1_locale(latin, tmp_path):
    check_commands(latin, tmp_path)
    assert b"772.54 \xb1 " in run(latin, "tasks", "metaworld/reach-v3").stdout


def test_a_file_name_that_libraries_would_not_find_is_refused(tmp_path):
    done = run(PLAIN, "dataset", "info", str(tmp_path / "größe"))
    assert done.returncode == 2
    assert b"names are ascii here; set LC_ALL=C.UTF-8" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_file_name_that_is_not_utf_8_is_refused(tmp_path, capsys):
    name = os.fsdecode(bytes(tmp_path) + b"/n\xf6")
    with pytest.raises(InputError, match="is not UTF-8"):
        check_path_encoding(name)
    assert main(["dataset", "info", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    Path(name).touch()
    (tmp_path / SETTINGS).write_text("{}", "utf-8")
    with pytest.raises(InputError, match="a name that is not UTF-8"):
        Location.of(tmp_path).glob("*")
    check_path_encoding(tmp_path / "größe")
