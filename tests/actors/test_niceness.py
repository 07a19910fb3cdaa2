"""Actors lower the priority of their threads once they have started, except for Ray's threads."""

import json
import subprocess
import sys

CODE = """
import json, os, threading
from actors.niceness import Niceness

def idle():
    numbers.append(threading.get_native_id())
    ready.release()
    threading.Event().wait()

numbers, ready = [threading.get_native_id()], threading.Semaphore(0)
def start():
    threading.Thread(target=idle, daemon=True).start()
    ready.acquire()
def all_of():
    return [os.getpriority(os.PRIO_PROCESS, number) - first for number in numbers]

first = os.getpriority(os.PRIO_PROCESS, 0)
start()
niceness = Niceness(3)
start()
before = all_of()
niceness.take()
start()
print(json.dumps([before, all_of()]), flush=True)
os._exit(0)
"""


def test_only_threads_that_were_started_later_get_a_lower_priority():
    # In a separate process, since a priority that was lowered cannot be raised for the next tests.
    before, after = json.loads(subprocess.check_output([sys.executable, "-c", CODE], text=True))
    assert before == [0, 0, 0]
    assert after == [3, 0, 3, 3]  # itself, a thread from before, one from the start, one that inherits
