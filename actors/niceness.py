"""Lowers the priority of an actor's threads, so that the learner goes first on a busy machine."""

import os
import threading


class Niceness:
    """Raises the niceness of the calling thread and of all threads that the process started after this was made.

    Make it when the actor starts, and call `take` once the actor is ready: a restarted actor then starts at full
    speed. Ray's own threads, which exist before, keep their priority.
    """

    def __init__(self, niceness: int) -> None:
        """Remembers the threads that exist.

        Args:
            niceness: what is added to each thread's niceness; the result is at most 19.
        """
        self._niceness, self._before = niceness, _threads()

    def take(self) -> None:
        """Raises the niceness."""
        # On Linux each thread has its own niceness, and environments and libraries have started theirs by now.
        for thread in _threads() - self._before | {threading.get_native_id()}:
            try:
                current = os.getpriority(os.PRIO_PROCESS, thread)
                os.setpriority(os.PRIO_PROCESS, thread, min(current + self._niceness, 19))
            except ProcessLookupError:  # the thread has just ended
                continue


def _threads() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/task")}
