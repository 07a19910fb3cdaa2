"""Publishing does not hold the learner up, and the newest weights always arrive."""

import threading

import pytest

from actors.coordination.publisher import Publisher


def test_publish_returns_at_once_and_the_newest_weights_arrive():
    sent, gate = [], threading.Event()

    def send(version, step, weights, published) -> None:
        gate.wait(60)
        sent.append(version)

    publisher = Publisher(send)
    for version in (1, 2, 3, 4):
        publisher.publish(version, version, {}, 0.0)
    assert sent == []
    gate.set()
    publisher.wait()
    # The first version was already being sent, or was replaced like the others.
    assert sent in ([1, 4], [4])
    publisher.publish(5, 5, {}, 0.0)
    publisher.wait()
    assert sent[-1] == 5


def test_an_error_while_sending_is_raised_by_wait():
    def send(version, step, weights, published) -> None:
        raise RuntimeError("the coordinator died")

    publisher = Publisher(send)
    publisher.publish(1, 1, {}, 0.0)
    with pytest.raises(RuntimeError, match="the coordinator died"):
        publisher.wait()
    publisher.wait()
