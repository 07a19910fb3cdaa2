"""GIFs of episodes of any length."""

import io

import numpy as np
import pytest

from actors.filming import MOST_FRAMES, Film, Filmed
from gato_dist.ports import TimeStep
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec

Image = pytest.importorskip("PIL.Image")


class Clock:
    """Two environments whose frames show the time step; the first episode ends after `steps`."""

    def __init__(self, steps: int, modality: Modality = Modality.IMAGE) -> None:
        parts = (ObservationSpec("x", modality, (32, 48, 3) if modality is Modality.IMAGE else (2,)),)
        self.spec = TaskSpec("procgen/coinrun", parts, ActionSpec(Modality.DISCRETE, num_values=(2,)), 9999)
        self.seeds, self._steps, self._now = [1, 2], steps, 0

    def reset(self) -> TimeStep:
        frame = np.full((2, 32, 48, 3), self._now % 251, np.uint8)
        ended = np.array([self._now == self._steps, False])
        return TimeStep({"x": frame}, np.zeros(2), ended, np.zeros(2, bool), None, {})

    def step(self, actions: np.ndarray) -> TimeStep:
        self._now += 1
        return self.reset()

    def close(self) -> None: ...


def film_of(env: Clock, steps: int) -> Film:
    film = Film()
    filmed = Filmed(env, film)
    filmed.reset()
    for _ in range(steps):
        filmed.step(np.zeros(2, np.int64))
    return film


@pytest.mark.parametrize(("steps", "frames"), [(1, 1), (30, 30), (99, 99), (101, 51), (5000, 79)])
def test_a_film_covers_the_first_episode_in_a_bounded_number_of_frames(steps, frames):
    picture = Image.open(io.BytesIO(film_of(Clock(steps), steps + 20).gif()))
    assert (picture.n_frames, picture.size) == (frames, (48, 32))
    assert frames < MOST_FRAMES


def test_a_task_that_cannot_be_drawn_gives_no_gif():
    assert film_of(Clock(9, Modality.CONTINUOUS), 9).gif() is None
