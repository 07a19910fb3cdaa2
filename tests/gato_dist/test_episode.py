"""Episodes that wait for others."""

import numpy as np

from gato_dist.episode import Episode, Gathering, Provenance

SOURCE = Provenance(task="toy/buttons", seed=0, policy="fake", policy_hash="")


def episode(steps: int) -> Episode:
    light = np.zeros(steps, np.uint8)
    return Episode({"light": light}, light, light, np.zeros(steps, np.float32), True, None, SOURCE)


def test_episodes_wait_until_they_are_large_enough_and_keep_their_order():
    gathering, episodes = Gathering(size=10, seconds=1e9), [episode(steps) for steps in (4, 4, 4, 20, 3)]
    groups = list(gathering.add(episodes[:2])) + list(gathering.add(episodes[2:]))
    assert [[len(each) for each in group] for group in groups] == [[4, 4, 4], [20]]
    assert [each for group in groups for each in group] == episodes[:4]


def test_no_episode_waits_for_longer_than_asked():
    gathering = Gathering(size=1000, seconds=0.0)
    assert [len(group) for group in gathering.add([episode(1), episode(1)])] == [2]
    assert list(gathering.add([])) == []
