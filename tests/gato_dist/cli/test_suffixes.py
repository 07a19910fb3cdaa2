"""Suffixes of files may be in capital letters, for files that are read and files that are written."""

from pathlib import Path

import numpy as np
from PIL import Image

from actors.experts.rl.policy_files import find_policy, load_policy
from gato_dist.cli.main import main
from gato_dist.envs.registry import task_spec
from gato_dist.tasks import task_table
from gato_dist.utils.video import Film, check_video
from tests.gato_dist.report.test_compare import make_run

HOPPER = "mujoco/hopper"


def test_videos_are_written_with_suffixes_in_capitals(tmp_path):
    for name, kind in (("a.GIF", b"GIF8"), ("a.Mp4", b"ftyp")):
        check_video(tmp_path / name)
        film = Film(tmp_path / name, 5)
        for shade in (0, 200):
            film.add(np.full((64, 64, 3), shade, np.uint8), ["caption"])
        film.finish()
        assert kind in (tmp_path / name).read_bytes()[:12]
    assert Image.open(tmp_path / "a.GIF").n_frames == 2


def test_a_policy_is_read_from_a_file_with_a_suffix_in_capitals(tmp_path):
    shipped = find_policy(HOPPER)
    for path in (shipped, shipped.with_suffix(".json")):
        suffix = ".SafeTensors" if path == shipped else ".json"
        (tmp_path / f"policy{suffix}").write_bytes(path.read_bytes())
    found = load_policy(tmp_path / "policy.SafeTensors", task_spec(HOPPER))
    assert found.digest == load_policy(shipped, task_spec(HOPPER)).digest


def test_compare_writes_a_page_with_a_suffix_in_capitals(tmp_path):
    folders = [make_run(tmp_path / name, {"a/x": [0.5]}) for name in ("one", "two")]
    assert main(["compare", *map(str, folders), "--out", str(tmp_path / "PAGE.HTML")]) == 0
    assert "<html" in (tmp_path / "PAGE.HTML").read_text("utf-8")


def test_a_users_task_file_may_have_a_suffix_in_capitals(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("gato_tasks").mkdir()
    Path("gato_tasks/mine.YAML").write_text("family: mujoco\ntasks: {hop: {env: Hopper-v4}}\n", "utf-8")
    task_table.cache_clear()
    try:
        assert task_table()["mine/hop"].user_defined
    finally:
        task_table.cache_clear()
