"""Publishing does not hold the learner up, and nothing that matters is lost."""

import threading

import pytest

from actors.coordination.publisher import Publisher


def test_training_goes_on_while_weights_are_sent_and_the_newest_ones_arrive():
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
    # The first may have been taken already, or be overtaken like the others that waited.
    assert sent in ([1, 4], [4])
    publisher.publish(5, 5, {}, 0.0)
    publisher.wait()
    assert sent[-1] == 5


def test_what_failed_while_sending_ends_the_run():
    def send(version, step, weights, published) -> None:
        raise RuntimeError("the coordinator died")

    publisher = Publisher(send)
    publisher.publish(1, 1, {}, 0.0)
    with pytest.raises(RuntimeError, match="the coordinator died"):
        publisher.wait()
    publisher.wait()
