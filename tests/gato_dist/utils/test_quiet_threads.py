"""Threads that fail because a disk is full print no traceback; other threads do."""

import threading

from gato_dist.utils.quiet_threads import quiet_threads


def test_only_threads_that_fail_because_a_disk_is_full_are_silent(monkeypatch):
    def fail(error: Exception) -> None:
        raise error

    printed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", printed.append)
    with quiet_threads():
        # The second is how TensorFlow's files, to which TensorBoard's writer thread writes, report a full disk.
        full = OSError(28, "No space left on device"), Exception("/run/events; No space left on device")
        for error in (*full, OSError(13, "Permission denied")):
            thread = threading.Thread(target=fail, args=(error,))
            thread.start()
            thread.join()
    assert [str(each.exc_value) for each in printed] == ["[Errno 13] Permission denied"]
