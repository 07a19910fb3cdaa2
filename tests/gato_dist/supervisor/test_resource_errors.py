"""What a machine runs out of is said with what to do."""

import threading

import pytest
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, OutOfMemoryError

from gato_dist.supervisor.resource_errors import explain, quiet_threads, store_news


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OutOfMemoryError("Task was killed due to the node running low on memory."), "lower num_envs"),
        (RuntimeError("worker 0:\nray.exceptions.OutOfMemoryError: (pid=3) killed\n"), "lower num_envs"),
        (ObjectStoreFullError("Failed to put object"), "/dev/shm"),
        (OutOfDiskError("Local disk is full"), "free some of /tmp"),
        (RuntimeError("Traceback\nray.exceptions.ObjectStoreFullError: Failed to put"), "/dev/shm"),
    ],
)
def test_a_shortage_is_told_with_what_to_do_and_no_tracebacks(error, says):
    said = explain(error)
    assert says in said
    assert said.endswith("go on with --resume")
    assert "\n" not in said


def test_any_other_error_speaks_for_itself():
    assert explain(RuntimeError("a\ntorch.OutOfMemoryError: CUDA out of memory")).startswith("torch.OutOfMemoryError")


def test_shared_memory_that_is_too_small_is_told_before_the_run(tmp_path):
    assert store_news(1, str(tmp_path)) == []
    (line,) = store_news(2**60, str(tmp_path))
    assert line.startswith(f"{tmp_path} has ")
    assert "--shm-size" in line


def test_a_thread_without_room_prints_nothing_and_others_do(monkeypatch):
    def fail(error: Exception) -> None:
        raise error

    heard: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    with quiet_threads():
        # The second as TensorFlow's files say it, in which TensorBoard's writer thread writes.
        full = OSError(28, "No space left on device"), Exception("/run/events; No space left on device")
        for error in (*full, OSError(13, "Permission denied")):
            thread = threading.Thread(target=fail, args=(error,))
            thread.start()
            thread.join()
    assert [str(each.exc_value) for each in heard] == ["[Errno 13] Permission denied"]
