"""Commands as users run them: wrong input is one line on stderr, exit code 2, and leaves no files behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gato_dist.config.run_config import load_config
from gato_dist.training.tokenizer import make_tokenizer
from tests.support.paths import ROOT

COMMAND = str(Path(sys.executable).parent / "gato-dist")
CONFIG = "name: t\ntasks: [{name: metaworld/reach-v3}]\n"


def refuse_train(tmp_path: Path, *arguments: str, config: str = CONFIG) -> str:
    """Returns the one line that `gato-dist train` prints on stderr."""
    path = tmp_path / "t.yaml"
    path.write_text(config)
    done = subprocess.run(
        [COMMAND, "train", str(path), *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("name: t\ntasks: [{name: metaworld/reech-v3}]\n", ["metaworld/reech-v3", "metaworld/reach-v3"]),
        (CONFIG + "learner: {bach: 3}\n", ["learner.bach", "no such key"]),
        (CONFIG + "learner: {batch: -3}\n", ["learner.batch", "greater than 0"]),
        (CONFIG + "model: {key_size: 7}\n", ["model", "even"]),
        (CONFIG + "tokens: {length: 4}\n", ["tokens.length", "metaworld/reach-v3"]),
        (CONFIG + "tokens: {text: nowhere.model}\n", ["tokens.text", "nowhere.model"]),
        ("name: t\ntasks: [{name: metaworld/reach-v3}, {name: metaworld/reach-v3}]\n", ["twice"]),
        ("name: t\ntasks: []\n", ["tasks"]),
        (CONFIG + "model: {preset: paper-80m}\n", ["model", "paper-80m", "paper-79m"]),
        (CONFIG + "model: {positions: learned, max_positions: 64}\n", ["model.max_positions", "128"]),
        (CONFIG + "evaluation: {prompt_tokens: 100}\n", ["evaluation.prompt_tokens", "128"]),
        (CONFIG + "evaluation: {prompt_tokens: 3}\n", ["evaluation.prompt_tokens", "metaworld/reach-v3"]),
        (CONFIG + "tokens: {encoding: paper}\nmodel: {local_positions: 9}\n", ["model.local_positions", "40"]),
        ("name: ../../t\ntasks: [{name: metaworld/reach-v3}]\n", ["name"]),
        ("name: t\ntasks: [{name: metaworld/reach-v3, expert: bot}]\n", ["metaworld/reach-v3", "bot", "scripted"]),
        (
            "name: t\ntasks: [{name: metaworld/reach-v3, expert: checkpoint, expert_options: {path: no.zip}}]\n",
            ["no.zip", "no such file"],
        ),
        ("name: [t\n", ["t.yaml", "YAML"]),
        ("just words\n", ["t.yaml"]),
    ],
)
def test_an_invalid_config_is_refused_by_key(tmp_path, config, expected):
    line = refuse_train(tmp_path, config=config)
    assert all(text in line for text in expected), line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("override", ["learner.batch=0", "learner.nothing=1", "nonsense=1", "learner=3"])
def test_an_invalid_override_is_refused_by_key(tmp_path, override):
    assert override.split("=")[0] in refuse_train(tmp_path, override)


def test_a_missing_config_file_is_refused_by_name(tmp_path):
    done = subprocess.run([COMMAND, "train", "none.yaml"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, "none.yaml" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_an_existing_run_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "--resume" in refuse_train(tmp_path, "--run", "run")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_resuming_without_a_run_is_refused(tmp_path):
    assert "no run to resume" in refuse_train(tmp_path, "--run", "run", "--resume")


def test_a_port_in_use_is_refused(tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refuse_train(tmp_path, f"replay.port={port}")


def test_an_unreachable_cluster_is_refused_before_the_run_folder_is_made(tmp_path):
    assert "ray.address" in refuse_train(tmp_path, "ray.address=127.0.0.1:9")
    assert not (tmp_path / "runs").exists()


def test_too_few_cpus_are_refused_by_key(tmp_path):
    line = refuse_train(tmp_path, "ray.cpus=2")
    assert all(text in line for text in ("ray.cpus", "2 is too few"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [("model.width=8", ["model.width", "192"]), ("tokens.encoding=paper", ["tokens.encoding", "compact"])],
)
def test_a_resumed_run_refuses_another_model_or_encoding(tmp_path, override, expected):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(CONFIG)
    line = refuse_train(tmp_path, "--run", "run", "--resume", override)
    assert all(text in line for text in expected), line
    assert (run / "config.yaml").read_text() == CONFIG


def test_a_resumed_run_refuses_other_tasks(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(CONFIG.replace("reach-v3", "drawer-open-v3"))
    assert "metaworld/drawer-open-v3" in refuse_train(tmp_path, "--run", "run", "--resume")


def test_a_missing_library_is_reported_with_its_extra(tmp_path):
    """A package that raises ImportError shadows the real one."""
    (tmp_path / "shadow" / "envpool").mkdir(parents=True)
    (tmp_path / "shadow" / "envpool" / "__init__.py").write_text("raise ImportError('no envpool here')\n")
    config = tmp_path / "t.yaml"
    config.write_text(CONFIG)
    path = os.pathsep.join([str(tmp_path / "shadow"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [COMMAND, "train", str(config)], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "gato-dist[suites]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_tasks_are_listed_and_a_glob_without_matches_is_refused():
    listed = subprocess.run([COMMAND, "tasks", "metaworld/*"], capture_output=True, text=True)
    assert "scripted" in listed.stdout
    none = subprocess.run([COMMAND, "tasks", "chess/*"], capture_output=True, text=True)
    assert (none.returncode, "chess/*" in none.stderr) == (2, True)


def test_a_task_that_cannot_run_is_listed_with_the_reason_among_the_others(tmp_path):
    (tmp_path / "dm_control").mkdir()
    (tmp_path / "dm_control" / "__init__.py").write_text("raise ImportError('no dm_control here')\n")
    (tmp_path / "gato_tasks").mkdir()
    (tmp_path / "gato_tasks" / "mine.yaml").write_text(
        "family: manipulation\ntasks: {reach: {env: reach_site_features}}\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    listed = subprocess.run(
        [COMMAND, "tasks", "mine/reach,manipulation/reach-site,metaworld/reach-v3,ale/pong"], capture_output=True,
        text=True, env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    _, broken, known, script, pong = listed.stdout.splitlines()
    assert "cannot run here" in broken
    assert "no dm_control here" in broken
    # A shipped task's layout is known without its package.
    assert "9 floats" in known
    assert script.split()[1:5] == ["state", "39", "4", "floats"]
    assert "human 14.6" in pong


def test_experts_are_listed_with_kind_and_labelling():
    arguments = ["experts", "list", "babyai/go-to-local,ale/pong"]
    listed = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    _, pong, local = sorted(listed.stdout.splitlines(), key=lambda line: line.startswith("babyai"))
    assert pong.split()[:3] == ["ale/pong", "guided", "no"]
    assert local.split()[:3] == ["babyai/go-to-local", "bot", "yes"]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_are_valid(path):
    config = load_config(path)
    tokenizer = make_tokenizer(config)
    assert list(tokenizer.tasks) == [task.name for task in config.tasks]


def test_the_config_of_the_paper_has_its_settings():
    config = load_config(ROOT / "configs/paper-79m.yaml")
    tokens, model = config.tokens, config.model
    assert (tokens.encoding, tokens.vocabulary, tokens.length, tokens.prompt_share) == ("paper", "paper", 1024, 0.25)
    assert (model.layers, model.heads, model.width, model.feed_forward) == (8, 24, 768, 3072)


def test_model_presets_are_listed_by_part_with_the_papers_sizes():
    listed = subprocess.run([COMMAND, "model"], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    lines = {line.split("  ")[0].strip(): line.split() for line in listed.stdout.splitlines()}
    assert lines["the paper's"][2:5] == ["1,180", "364", "79"]
    # By hand, for 24 layers: 4 · 2048² of attention and 1.5 · 2048 · 8192 of feed-forward, and their vectors.
    assert lines["attention"][1] == f"{(24 * 4 * 2048**2 + 24 * 2048) / 1e6:.2f}"
    assert lines["feed-forward"][1] == f"{24 * (1.5 * 2048 * 8192 + 8192 + 2048) / 1e6:.2f}"
    assert lines["text and value tokens"][4] == f"{33025 * 2048 / 1e6:.2f}"
    wrong = subprocess.run([COMMAND, "model", "paper-80m"], capture_output=True, text=True)
    assert (wrong.returncode, "paper-80m" in wrong.stderr) == (2, True)


def test_a_text_tokenizer_is_trained_and_a_vocabulary_that_is_too_large_is_refused(tmp_path):
    (tmp_path / "lines.txt").write_text("go to the red ball\npick up the blue key\n" * 20)
    command = [COMMAND, "tokenizer", "train", "--input", "lines.txt", "--out", "my.model", "--vocab-size"]
    made = subprocess.run([*command, "300"], capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "300 tokens" in made.stdout
    wrong = subprocess.run([*command, "9000"], capture_output=True, text=True, cwd=tmp_path)
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1
