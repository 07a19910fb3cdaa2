"""Records a small GIF of an episode that is played anyway."""

import io

import numpy as np

from gato_dist.envs.pictures import draw_picture, render_style
from gato_dist.errors import InputError
from gato_dist.ports import TimeStep, VectorEnv

MOST_FRAMES = 100
MOST_PIXELS = 160  # of the longer side
COLOURS = 64
MIN_FRAME_MS, MAX_FRAME_MS = 40, 200
NEVER = 1 << 62


class Film:
    """At most 100 frames of one episode: as the episode gets longer, every second, fourth, eighth … step.

    This bounds the memory, and a GIF to a few hundred KiB, however long the episode is.
    """

    def __init__(self) -> None:
        self._frames: list[np.ndarray] = []
        self._every, self._steps, self._fps = 1, 0, 15

    def expose(self, env: VectorEnv, now: TimeStep) -> None:
        """Draws environment 0, unless the step is left out. If the task cannot be drawn, the film stays empty.

        Args:
            env: the environments.
            now: what they returned last.
        """
        self._steps += 1
        if self._steps == 1:
            self._fps = render_style(env.spec.name).fps
        if (self._steps - 1) % self._every:
            return
        try:
            picture = draw_picture(env, now.observations)
        except InputError:
            self._every = NEVER
            return
        self._frames.append(_small_copy(picture))
        if len(self._frames) == MOST_FRAMES:
            self._frames, self._every = self._frames[::2], 2 * self._every

    def gif(self) -> bytes | None:
        """Returns the GIF; None if nothing was drawn."""
        from PIL import Image

        if not self._frames:
            return None
        first, *rest = (Image.fromarray(frame).quantize(COLOURS) for frame in self._frames)
        duration = min(max(1000 * self._every // self._fps, MIN_FRAME_MS), MAX_FRAME_MS)
        out = io.BytesIO()
        first.save(out, "GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        return out.getvalue()


class Filmed:
    """A `VectorEnv` around another one that films the first episode of environment 0."""

    def __init__(self, env: VectorEnv, film: Film) -> None:
        self.spec, self.seeds = env.spec, env.seeds
        self._env, self._film, self._over = env, film, False
        self._now: TimeStep | None = None

    def reset(self) -> TimeStep:
        self._now = self._env.reset()
        return self._now

    def step(self, actions: np.ndarray) -> TimeStep:
        if self._now is not None and not self._over:
            self._film.expose(self._env, self._now)
        self._now = self._env.step(actions)
        self._over |= bool(self._now.done[0])
        return self._now

    def close(self) -> None:
        self._env.close()


def _small_copy(picture: np.ndarray) -> np.ndarray:
    """Copies a picture uint8 [H, W, 3] with sides of at most `MOST_PIXELS`."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    return np.array(image)
