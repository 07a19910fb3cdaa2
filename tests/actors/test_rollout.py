"""Rollouts and recorded episodes."""

from dataclasses import replace

import numpy as np
import pytest

from actors.experts.noise import NoisyExpert
from actors.rollout import EpisodeRecorder, episodes, rollout
from gato_dist.episode import Provenance
from gato_dist.errors import InvalidStepError
from gato_dist.scores.bootstrap import success_share
from gato_dist.specs import ActionSpec, Modality
from tests.support.fakes import COUNTED, CountingEnv, EchoPolicy

SOURCE = Provenance(task="toy/counted", seed=0, policy="echo", policy_hash="abc", weights_version=7)


def play(lengths: list[int], steps: int):
    env, policy = CountingEnv(COUNTED, lengths), EchoPolicy()
    recorder, ended = EpisodeRecorder(env, SOURCE), []
    for _, step in zip(range(steps), rollout(env, policy), strict=False):
        ended += recorder.add(step)
    return ended, policy


def test_an_episode_has_as_many_observations_and_actions_as_steps():
    ended, _ = play([3], 8)
    for episode in ended:
        assert episode.observations["light"].tolist() == [0, 1, 2]
        assert episode.actions.tolist() == [0, 1, 2]
        assert episode.terminated


def test_the_reset_step_and_its_reward_belong_to_no_episode():
    ended, _ = play([2, 3], 30)
    assert {(len(episode), episode.episode_return) for episode in ended} == {(2, 2.0), (3, 3.0)}


def test_an_episode_contains_no_observation_of_the_next_one():
    ended, _ = play([2, 3], 30)
    assert all(episode.observations["light"][0] == 100 * episode.provenance.seed for episode in ended)


def test_episodes_stay_intact_when_the_history_grows_and_forgets():
    ended, _ = play([2, 3, 70, 400], 1000)
    assert {len(episode) for episode in ended} == {2, 3, 70, 400}
    for episode in ended:
        assert episode.observations["light"].tolist() == [
            100 * episode.provenance.seed + step for step in range(len(episode))
        ]
        assert episode.actions.tolist() == episode.observations["light"].tolist()


def test_policies_are_reset_for_new_episodes_and_inactive_at_reset_steps():
    _, policy = play([2, 5], 6)
    assert policy.resets[0] == [0, 1]
    assert [0] in policy.resets
    assert policy.active == [[True, True], [True, True], [False, True], [True, True], [True, True], [False, False]]


def test_episodes_carry_their_seed_index_and_weights_version():
    ended, _ = play([2], 10)
    assert [(e.provenance.seed, e.provenance.episode, e.provenance.weights_version) for e in ended] == [
        (0, 0, 7), (0, 1, 7), (0, 2, 7)
    ]  # fmt: skip


def test_once_plays_one_episode_per_environment():
    played = list(episodes(CountingEnv(COUNTED, [1, 4, 2]), EchoPolicy(), SOURCE, once=True))
    assert sorted(len(episode) for episode in played) == [1, 2, 4]


class Telling(CountingEnv):
    """Reports success in some steps: `told[step]`."""

    def __init__(self, lengths: list[int], told: dict[int, bool]) -> None:
        super().__init__(COUNTED, lengths)
        self._told = told

    def _now(self, rewards, done):
        success = [self._told.get(step) for step in self._step]
        told = None if set(success) == {None} else np.array([bool(each) for each in success])
        return replace(super()._now(rewards, done), success=told)


@pytest.mark.parametrize("length", [1, 40, 64, 65, 100, 400])
def test_success_may_be_reported_in_the_last_step_only(length):
    for said in (False, True):
        (episode,) = episodes(Telling([length], {length: said}), EchoPolicy(), SOURCE, once=True)
        assert episode.success is said
        assert len(episode) == length


def test_success_of_one_episode_does_not_affect_another():
    played = list(episodes(Telling([3, 200], {3: True}), EchoPolicy(), SOURCE, once=True))
    assert [episode.success for episode in played] == [True, True]
    played = list(episodes(Telling([3, 200], {200: True}), EchoPolicy(), SOURCE, once=True))
    assert [episode.success for episode in played] == [None, True]


def test_episodes_without_a_report_count_as_failures_if_another_reports_success():
    assert success_share([None, True, None, False]) == 0.25
    assert success_share([None, None]) is None
    assert success_share([]) is None


class LateTargets(EchoPolicy):
    """Has targets that differ from its actions from step 70 on."""

    def targets(self, actions):
        return actions if len(self.active) <= 70 else actions + 0.5


def test_targets_that_begin_late_are_the_actions_before_and_keep_their_fractions():
    spec = replace(COUNTED, action=ActionSpec(Modality.CONTINUOUS, (), low=(0.0,), high=(1000.0,)))
    (episode,) = episodes(CountingEnv(spec, [100]), LateTargets(), SOURCE, once=True)
    assert (episode.targets[:70] == episode.actions[:70]).all()
    assert (episode.targets[70:] == episode.actions[70:] + 0.5).all()


class Broken(CountingEnv):
    """Gives NaN for the reward of one step."""

    def step(self, actions):
        now = super().step(actions)
        return replace(now, rewards=np.where(self._step == 3, np.nan, now.rewards))


def test_a_value_that_the_task_does_not_allow_is_an_error_that_names_part_and_step():
    with pytest.raises(InvalidStepError, match="toy/counted, rewards, step 2: nan is not finite"):
        list(episodes(Broken(COUNTED, [5]), EchoPolicy(), SOURCE, once=True))
    with pytest.raises(InvalidStepError, match=r"toy/counted, actions, step 0: 5000 is not an integer in \[0, 1024\)"):
        list(episodes(CountingEnv(COUNTED, [5]), ConstantPolicy(5000), SOURCE, once=True))


class ConstantPolicy(EchoPolicy):
    def __init__(self, value: int) -> None:
        super().__init__()
        self.value, self.told = value, []

    def act(self, observations, info, active):
        return np.full(len(active), self.value)

    def played(self, actions):
        self.told.append(actions.tolist())


def test_the_targets_of_a_disturbed_expert_are_its_own_actions():
    expert, count = ConstantPolicy(1), 400
    noisy = NoisyExpert(expert, ConstantPolicy(2), [0], share=0.3, steps=4)
    env = CountingEnv(COUNTED, [count])
    (episode,) = episodes(env, noisy, SOURCE, once=True)
    assert (episode.targets == 1).all()
    disturbed = episode.actions == 2
    assert 0.2 < disturbed.mean() < 0.4
    assert np.concatenate(expert.told).tolist() == episode.actions.tolist()


def test_a_disturbance_lasts_noise_steps():
    noisy = NoisyExpert(ConstantPolicy(1), ConstantPolicy(2), [3], share=0.1, steps=5)
    (episode,) = episodes(CountingEnv(COUNTED, [600]), noisy, SOURCE, once=True)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], episode.actions, [1]])))
    runs = edges[1::2] - edges[::2]
    assert len(runs) > 3
    assert set(runs[:-1] % 5) == {0}
