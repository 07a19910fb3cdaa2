"""The warning about shared memory that is too small for Ray's object store."""

from gato_dist.supervisor.ray_session import store_warnings


def test_shared_memory_that_is_too_small_is_reported_with_advice(tmp_path):
    assert store_warnings(1, str(tmp_path)) == []
    (line,) = store_warnings(2**60, str(tmp_path))
    assert line.startswith(f"{tmp_path} has ")
    assert "--shm-size" in line
