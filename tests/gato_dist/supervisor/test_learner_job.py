"""What a learner's driver that died leaves behind, on a real Ray."""

import subprocess
import sys

CODE = """
import ray
from ray.util import placement_group
from gato_dist.config.process_sections import RayConfig
from gato_dist.supervisor.ray_init import connect
from learner.ray_train import give_back_places

@ray.remote(num_cpus=0, max_retries=0)
def driver():
    # As Ray Train's, of a process that will be gone.
    group = placement_group([{"CPU": 2}], lifetime="detached")
    ray.get(group.ready())

@ray.remote(num_cpus=2)
def successor():
    return "works"

connect(RayConfig(), 2)
ray.get(driver.remote())
work = successor.remote()
print(ray.wait([work], timeout=2)[0], flush=True)
give_back_places()
print(ray.get(work, timeout=60), flush=True)
ray.shutdown()
"""


def test_what_a_dead_drivers_workers_reserve_is_given_back():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.stdout.split("\n")[:2] == ["[]", "works"], done.stdout + done.stderr
