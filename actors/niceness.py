"""How an actor gives way to the learner: once it has started, for what replaces a dead one should be there soon."""

import os
import threading


class Niceness:
    """Of the calling thread and of those that the process makes from now on; Ray's, which are there already, stay."""

    def __init__(self, niceness: int) -> None:
        """niceness: added to what each has; `take` it once the start is over."""
        self._niceness, self._before = niceness, _threads()

    def take(self) -> None:
        # Linux keeps a niceness for each thread, and environments and libraries have made theirs by now.
        for thread in _threads() - self._before | {threading.get_native_id()}:
            try:
                now = os.getpriority(os.PRIO_PROCESS, thread)
                os.setpriority(os.PRIO_PROCESS, thread, min(now + self._niceness, 19))
            except ProcessLookupError:  # it has just ended
                continue


def _threads() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/task")}
