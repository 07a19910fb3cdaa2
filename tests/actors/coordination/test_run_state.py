"""The small parts of a run's shared state."""

from actors.coordination.run_state import MixtureState, ReplayState, RunPhase, SeedBlocks
from gato_dist.sources import Guidance


def test_guidance_combines_progress_version_and_the_drivers_decisions():
    mixture = MixtureState()
    assert mixture.guidance(0.0, 0) == Guidance()
    mixture.factors, mixture.failed_tasks = (2.0,), frozenset({0})
    assert mixture.guidance(0.25, 4) == Guidance(0.25, 4, (2.0,), frozenset({0}))


def test_the_newest_replay_save_request_is_taken_once():
    replay = ReplayState()
    assert replay.take_save_request() is None
    replay.request_save(60)
    replay.request_save(90)
    assert (replay.take_save_request(), replay.take_save_request()) == (90, None)


def test_learning_can_end_while_the_run_goes_on():
    phase = RunPhase()
    assert not phase.learning_ends
    phase.end_learning()
    assert (phase.learning_ends, phase.stopping) == (True, False)


def test_learning_ends_if_the_run_stops():
    phase = RunPhase(stopping=True)
    assert phase.learning_ends


def test_no_seed_block_is_given_away_twice():
    claims = iter([range(40, 42), range(90, 92)])
    blocks = SeedBlocks(claims.__next__)
    assert [blocks.next() for _ in range(3)] == [40, 41, 90]
