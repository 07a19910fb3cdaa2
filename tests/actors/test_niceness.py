"""Actors give way once they have started, with all their threads but Ray's."""

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


def test_what_the_process_has_made_since_gives_way_and_what_it_had_before_does_not():
    # In a process of its own: a test may not lower the priority of those after it.
    before, after = json.loads(subprocess.check_output([sys.executable, "-c", CODE], text=True))
    assert before == [0, 0, 0]
    assert after == [3, 0, 3, 3]  # itself, a thread from before, one from the start, one that inherits
