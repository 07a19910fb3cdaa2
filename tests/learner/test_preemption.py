"""A learner worker whose machine is taken away, under real Ray Train: a new worker goes on from its checkpoint."""

import itertools
import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
import ray

from gato_dist.config.process_sections import RayConfig
from gato_dist.config.training_sections import LearnerConfig
from gato_dist.supervisor.errors import explain
from gato_dist.supervisor.ray_init import connect
from learner.checkpoint_folder import CheckpointFolder
from learner.parallel import rank
from learner.ray_train import fit, preempted
from learner.train import train
from tests.learner.test_train import FakeHost, make_batch, make_config, make_tokenizer

pytestmark = pytest.mark.slow


class FileHost(FakeHost):
    """Ends once a file `stop` exists; writes notes and published versions to files."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def note(self, message) -> None:
        with (self._root / "notes").open("a") as file:
            file.write(message + "\n")

    def publish(self, version, step, weights) -> None:
        with (self._root / "versions").open("a") as file:
            file.write(f"{version}\n")

    def should_stop(self) -> bool:
        return (self._root / "stop").exists()


def job(root: Path) -> None:
    def batches():
        for seed in itertools.count():
            (root / f"pid{rank()}").write_text(str(os.getpid()))
            time.sleep(0.05)
            yield make_batch(seed)

    config = make_config(steps=10**6, checkpoint_seconds=3600.0, publish_seconds=3600.0)
    checkpoints = CheckpointFolder(root / "checkpoints", 2)
    train(config, make_tokenizer(), batches=batches(), host=FileHost(root), folder=checkpoints, is_preempted=preempted)


def wait_for(path: Path, other_than: str = "") -> str:
    for _ in range(3000):
        if path.exists() and (text := path.read_text(encoding="utf-8")) not in ("", other_than):
            return text
        time.sleep(0.1)
    raise AssertionError(f"no {path} in five minutes")


def test_a_new_worker_goes_on_from_the_checkpoint_of_one_that_got_sigterm(tmp_path):
    connect(RayConfig(), 3)
    errors: list[BaseException] = []

    def learn() -> None:
        try:
            fit(partial(job, tmp_path), LearnerConfig(workers=2), tmp_path / "ray_train")
        except Exception as error:
            errors.append(error)

    thread = Thread(target=learn)
    try:
        thread.start()
        first = wait_for(tmp_path / "pid1")
        time.sleep(2)
        os.kill(int(first), signal.SIGTERM)
        # The first worker writes the note, although the second one got the signal.
        assert "goes on from its checkpoint of step" in wait_for(tmp_path / "notes")
        left = CheckpointFolder(tmp_path / "checkpoints", 2).newest_valid(make_config(steps=10**6), make_tokenizer())
        wait_for(tmp_path / "pid1", other_than=first)
        (tmp_path / "stop").touch()
        thread.join(timeout=300)
        assert not errors, explain(errors[0])
    finally:
        ray.shutdown()
    assert left is not None
    steps = sorted(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").iterdir())
    assert steps[0] == int(left.name.removeprefix("step-")) > 0
    assert steps[-1] > steps[0]
    versions = [int(line) for line in (tmp_path / "versions").read_text().split()]
    assert versions == sorted(set(versions))
    assert json.loads((left / "counters.json").read_text())["weights_version"] == versions[0]
