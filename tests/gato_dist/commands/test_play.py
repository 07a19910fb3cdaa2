"""`gato-dist play`: videos with one frame per step, no half-written files, and refusals in one line."""

import ctypes
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.evaluate import Evaluator
from actors.experts.registry import make_expert
from actors.rollout import rollout
from gato_dist.commands.play import Camera, PlayOptions, play
from gato_dist.config.run_config import parse_config
from gato_dist.envs.pictures import draw_picture, draw_sokoban
from gato_dist.envs.registry import make_env
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.training.tokenizer import make_tokenizer
from gato_dist.utils.video import captioned, enlarged, film
from learner.checkpoint import Counters, Snapshot
from learner.checkpoint_folder import CheckpointFolder
from tests.support.fakes import CountingEnv

pytest.importorskip("envpool")
imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
Image = pytest.importorskip("PIL.Image")
ImageSequence = pytest.importorskip("PIL.ImageSequence")

COMMAND = str(Path(sys.executable).parent / "gato-dist")
BALL = "babyai/go-to-red-ball-grey"


def frames(path: Path) -> np.ndarray:
    """uint8 [T, H, W, 3]."""
    if path.suffix == ".gif":
        image = Image.open(path)
        return np.stack([_seek(image, i) for i in range(image.n_frames)])
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def _seek(image, index: int) -> np.ndarray:
    image.seek(index)
    return np.asarray(image.convert("RGB"))


def duration(path: Path) -> float:
    """Returns the seconds that the file states."""
    if path.suffix == ".gif":
        image = Image.open(path)
        return sum(frame.info["duration"] for frame in ImageSequence.Iterator(image)) / 1000
    return imageio_ffmpeg.count_frames_and_secs(str(path))[1]


def play_and_print(task: str, video: Path, capsys, **options) -> str:
    """Returns what `play` printed."""
    play(PlayOptions(task=task, video=video, **options))
    return capsys.readouterr().out


def refuse(tmp_path: Path, *arguments: str, **env: str) -> str:
    """Returns the one line on stderr. Checks that the command wrote no file."""
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [COMMAND, "play", *arguments], capture_output=True, text=True, cwd=tmp_path, env=os.environ | env, timeout=120
    )
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert sorted(tmp_path.iterdir()) == before
    return lines[0]


def test_an_experts_video_has_one_frame_per_step(tmp_path, capsys):
    printed = play_and_print("babyai/go-to-local", tmp_path / "v.mp4", capsys, policy="expert", episodes=2)
    steps = [int(number) for number in re.findall(r"(\d+) steps", printed)]
    assert len(steps) == 2
    seen = frames(tmp_path / "v.mp4")
    assert len(seen) == sum(steps)
    assert f"{sum(steps)} frames" in printed
    assert min(seen.shape[1:3]) >= 256
    assert all(np.abs(one.astype(int) - other).max() > 50 for one, other in itertools.pairwise(seen))
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize(("task", "name"), [("ale/pong", "v.gif"), ("procgen/coinrun", "v.mp4")])
def test_max_steps_limits_the_video(tmp_path, capsys, task, name):
    printed = play_and_print(task, tmp_path / name, capsys, policy="random", max_steps=30)
    assert "30 steps, stopped by --max-steps" in printed
    seen = frames(tmp_path / name)
    assert len(seen) == 30
    assert seen[-1][:200].std() > 10
    assert float(re.findall(r"([\d.]+) s\n", printed)[-1]) == pytest.approx(duration(tmp_path / name), abs=0.06)


def test_a_checkpoint_plays_the_same_episodes_as_evaluation(tmp_path, capsys):
    config = parse_config(
        {
            "name": "t",
            "tasks": [{"name": BALL, "window_steps": 2}],
            "model": {"width": 32, "layers": 1, "heads": 2, "key_size": 16, "feed_forward": 64, "patch_channels": 8},
            "evaluation": {"temperature": 1.0},
        },
        "test",
    )
    tokenizer = make_tokenizer(config)
    torch.manual_seed(0)
    model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size).eval()
    optimizer = torch.optim.AdamW(model.parameters())
    folder = CheckpointFolder(tmp_path / "checkpoints", 1)
    folder.save(Snapshot.take(config, tokenizer, model=model, optimizer=optimizer, counters=Counters(3, 0, 0, 1)))
    folder.wait()
    path = folder.newest()
    scored = Evaluator(config, tokenizer).play(model, BALL, 3, 1)
    printed = play_and_print(BALL, tmp_path / "v.mp4", capsys, checkpoint=path, episodes=2, seed=1)
    for episode, line in zip(scored[1:], printed.splitlines(), strict=False):
        assert f"return {episode.episode_return:.2f}, {len(episode)} steps" in line
    assert len(frames(tmp_path / "v.mp4")) == sum(len(episode) for episode in scored[1:])
    with pytest.raises(InputError, match=f"checkpoint's tasks are {BALL}"):
        play_and_print("ale/pong", tmp_path / "w.mp4", capsys, checkpoint=path)


def test_the_camera_shows_the_observation_that_the_policy_acted_on():
    made = make_expert("procgen/coinrun", [5], kind="random")
    camera = Camera(made.env)
    for index, step in enumerate(rollout(camera, made.policy, once=True)):
        assert np.array_equal(camera.picture, step.observations["image"][0])
        if index == 20:
            break
    camera.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ale/pongg", "--policy", "random", "--video", "v.mp4"], ["ale/pongg", "ale/pong"]),
        (["ale/pong", "--policy", "random", "--video", "v.avi"], ["v.avi", ".mp4", ".gif"]),
        (["ale/pong", "--policy", "random", "--video", "none/v.mp4"], ["none/v.mp4", "folder"]),
        (["nowhere", "ale/pong", "--video", "v.mp4"], ["nowhere", "not a checkpoint"]),
        (["ale/pong", "--video", "v.mp4"], ["CHECKPOINT", "--policy"]),
        (["nowhere", "ale/pong", "--policy", "expert", "--video", "v.mp4"], ["CHECKPOINT", "expert"]),
        (["ale/pong", "--policy", "random", "--seed", "-1", "--video", "v.mp4"], ["--seed"]),
    ],
)
def test_wrong_input_is_refused_in_one_line(tmp_path, arguments, expected):
    line = refuse(tmp_path, *arguments)
    assert all(text in line for text in expected), line


def test_a_machine_without_egl_is_told_what_to_install(tmp_path):
    arguments = ["dm_control/reacher-easy", "--policy", "random", "--video", "v.mp4"]
    line = refuse(tmp_path, *arguments, __EGL_VENDOR_LIBRARY_FILENAMES="/nonexistent")
    assert "libegl1" in line
    assert "EGL" in line


def test_a_missing_video_library_is_reported_with_its_extra(tmp_path):
    shadow = tmp_path / "shadow" / "imageio_ffmpeg"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('no ffmpeg here')\n")
    path = os.pathsep.join([str(shadow.parent), os.environ.get("PYTHONPATH", "")])
    line = refuse(tmp_path, "ale/pong", "--policy", "random", "--video", "v.mp4", PYTHONPATH=path)
    assert "gato-dist[video]" in line


def test_a_task_without_images_or_renderer_is_refused():
    spec = TaskSpec(
        "gymnasium/Numbers-v0",
        (ObservationSpec("state", Modality.CONTINUOUS, (3,)),),
        ActionSpec(Modality.DISCRETE, num_values=(2,)),
        10,
    )
    env = CountingEnv(spec, [4])
    with pytest.raises(InputError, match="gymnasium/Numbers-v0: has no picture"):
        draw_picture(env, env.reset().observations)


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_an_error_while_filming_leaves_the_old_video(tmp_path, suffix):
    path = tmp_path / f"v.{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), film(path, 10) as made:  # noqa: PT012
        for level in range(9):
            made.add(np.full((64, 64, 3), level, np.uint8), ["a line"])
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["v.mp4", "v.gif"])
def test_a_full_disk_leaves_no_video(tmp_path, name):
    """A limit on file sizes stands in for a full disk."""
    arguments = [COMMAND, "play", "ale/freeway", "--policy", "random", "--max-steps", "150", "--video", name]
    limited = ["bash", "-c", 'ulimit -f 20; exec "$@"', "-", *arguments]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert f"{name}: cannot be written" in done.stderr
    assert not list(tmp_path.iterdir())


def test_frames_are_enlarged_by_whole_pixels_to_even_sizes():
    picture = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    large = enlarged(picture)
    assert large.shape == (258, 430, 3)
    assert np.array_equal(large[::86, ::86], picture)
    frame = captioned(large[:257, :429], ["x" * 500, ""])
    assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
    assert np.array_equal(frame[:257, :429], large[:257, :429])
    assert frame[257:, 425:].max() == frame[-1].max()  # no ink in the margin


def test_sokoban_is_drawn_from_its_grid_with_a_colour_per_kind_of_tile():
    grid = np.zeros((1, 2, 3, 2), np.uint8)
    grid[0, 0, :, 0] = 3, 4, 4  # the agent, a box, a box on its target
    grid[0, 0, 2, 1] = grid[0, 1, 0, 1] = 2
    grid[0, 1, 1, 1] = 1
    picture = draw_sokoban({"grid": grid}, 0)
    height, width = picture.shape[0] // 2, picture.shape[1] // 3
    colours = {
        tuple(picture[r * height + height // 2 + 3, c * width + width // 2 + 3]) for r in (0, 1) for c in (0, 1, 2)
    }
    assert len(colours) == 6


def test_manipulation_is_drawn_in_every_episode():
    pytest.importorskip("dm_control")
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        pytest.skip("no libEGL")
    env = make_env("manipulation/lift-brick", [0])
    pictures = [draw_picture(env, env.reset().observations) for _ in range(2)]
    env.close()
    assert all(picture.std() > 10 for picture in pictures)
    assert not np.array_equal(*pictures)
