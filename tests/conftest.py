"""One thread a library: two cores serve every process of a test. No deadlines: machines are noisy."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from hypothesis import settings  # noqa: E402  (threads are set first)

from gato_dist.envs.matplotlib_cache import set_matplotlib_cache  # noqa: E402
from gato_dist.envs.qt import load_qt5  # noqa: E402

# Before any test imports envpool, whose Procgen looks for Qt once.
load_qt5()
set_matplotlib_cache()

settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")
