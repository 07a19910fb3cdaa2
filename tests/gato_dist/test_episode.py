"""The batcher of episodes."""

import numpy as np

from gato_dist.episode import Episode, EpisodeBatcher, Provenance

SOURCE = Provenance(task="toy/buttons", seed=0, policy="fake", policy_hash="")


def episode(steps: int) -> Episode:
    light = np.zeros(steps, np.uint8)
    return Episode({"light": light}, light, light, np.zeros(steps, np.float32), True, None, SOURCE)


def test_a_group_is_complete_at_its_size_and_episodes_keep_their_order():
    gathering, episodes = EpisodeBatcher(size=10, seconds=1e9), [episode(steps) for steps in (4, 4, 4, 20, 3)]
    groups = list(gathering.add(episodes[:2])) + list(gathering.add(episodes[2:]))
    assert [[len(each) for each in group] for group in groups] == [[4, 4, 4], [20]]
    assert [each for group in groups for each in group] == episodes[:4]


def test_an_incomplete_group_is_returned_after_its_time():
    gathering = EpisodeBatcher(size=1000, seconds=0.0)
    assert [len(group) for group in gathering.add([episode(1), episode(1)])] == [2]
    assert list(gathering.add([])) == []
