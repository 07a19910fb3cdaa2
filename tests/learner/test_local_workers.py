"""Data-parallel workers on one machine: what they raise reaches the process that started them."""

import os
import time

import pytest
from torch.multiprocessing import ProcessRaisedException

from gato_dist.errors import InputError
from learner.local_workers import run_workers


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("cannot be pickled")


def refuse() -> None:
    if os.environ["RANK"] == "1":
        raise InputError("tokens.length: too short")
    time.sleep(60)


def fail_unpicklably() -> None:
    raise Unpicklable("odd")


def test_the_error_of_a_worker_keeps_its_type_and_ends_the_others():
    began = time.monotonic()
    with pytest.raises(InputError, match=r"^tokens\.length: too short$"):
        run_workers(refuse, 2)
    assert time.monotonic() - began < 55


def test_an_error_that_cannot_be_pickled_is_quoted():
    with pytest.raises(ProcessRaisedException, match="odd"):
        run_workers(fail_unpicklably, 1)
