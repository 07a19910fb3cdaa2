"""What is wrong with a user's input is said in one line, with exit code 2 and nothing left behind."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).parent / "gato-dist")
CONFIG = "name: t\ntasks: [{name: metaworld/reach-v3}]\n"


def refuse(tmp_path: Path, *words: str, config: str = CONFIG) -> str:
    """The one line that `gato-dist train` prints on stderr."""
    path = tmp_path / "t.yaml"
    path.write_text(config)
    done = subprocess.run(
        [COMMAND, "train", str(path), *words], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("name: t\ntasks: [{name: metaworld/reech-v3}]\n", ["metaworld/reech-v3", "metaworld/reach-v3"]),
        (CONFIG + "learner: {bach: 3}\n", ["learner.bach", "no such key"]),
        (CONFIG + "learner: {batch: -3}\n", ["learner.batch", "greater than 0"]),
        (CONFIG + "model: {key_size: 7}\n", ["model", "even"]),
        (CONFIG + "tokens: {length: 4}\n", ["tokens.length", "metaworld/reach-v3"]),
        (CONFIG + "tokens: {text: nowhere.model}\n", ["tokens.text", "nowhere.model"]),
        ("name: t\ntasks: [{name: metaworld/reach-v3}, {name: metaworld/reach-v3}]\n", ["twice"]),
        ("name: t\ntasks: []\n", ["tasks"]),
        ("name: ../../t\ntasks: [{name: metaworld/reach-v3}]\n", ["name"]),
        ("name: t\ntasks: [{name: metaworld/reach-v3, expert: bot}]\n", ["metaworld/reach-v3", "bot", "scripted"]),
        ("name: [t\n", ["t.yaml", "YAML"]),
        ("just words\n", ["t.yaml"]),
    ],
)
def test_a_wrong_config_is_refused_by_key(tmp_path, config, says):
    line = refuse(tmp_path, config=config)
    assert all(word in line for word in says), line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("override", ["learner.batch=0", "learner.nothing=1", "nonsense=1", "learner=3"])
def test_a_wrong_override_is_refused(tmp_path, override):
    assert override.split("=")[0] in refuse(tmp_path, override)


def test_a_missing_config_is_refused_by_name(tmp_path):
    done = subprocess.run([COMMAND, "train", "none.yaml"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, "none.yaml" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_a_run_folder_that_exists_is_kept(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "--resume" in refuse(tmp_path, "--run", "run")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_resuming_nothing_is_refused(tmp_path):
    assert "no run to resume" in refuse(tmp_path, "--run", "run", "--resume")


def test_a_port_in_use_is_refused(tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refuse(tmp_path, f"replay.port={port}")


def test_a_cluster_that_does_not_answer_is_refused(tmp_path):
    assert "ray.address" in refuse(tmp_path, "ray.address=127.0.0.1:9")


def test_a_missing_library_is_named(tmp_path):
    """A package that cannot be imported, for real: an empty directory shadows it."""
    (tmp_path / "shadow" / "envpool").mkdir(parents=True)
    (tmp_path / "shadow" / "envpool" / "__init__.py").write_text("raise ImportError('no envpool here')\n")
    path = tmp_path / "t.yaml"
    path.write_text(CONFIG)
    done = subprocess.run(
        [COMMAND, "train", str(path)], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "shadow"), "PATH": "/usr/bin:/bin"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "gato-dist[suites]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_tasks_are_listed_and_globs_that_match_nothing_refused():
    listed = subprocess.run([COMMAND, "tasks", "metaworld/*"], capture_output=True, text=True)
    assert "scripted" in listed.stdout
    none = subprocess.run([COMMAND, "tasks", "chess/*"], capture_output=True, text=True)
    assert (none.returncode, "chess/*" in none.stderr) == (2, True)
