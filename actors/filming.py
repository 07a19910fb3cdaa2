"""A small moving picture of an episode that is played anyway."""

import io

import numpy as np

from gato_dist.envs.pictures import draw_picture, render_style
from gato_dist.errors import InputError
from gato_dist.ports import TimeStep, VectorEnv

MOST_FRAMES = 100
MOST_PIXELS = 160  # of a side
COLOURS = 64
LEAST_MILLISECONDS, MOST_MILLISECONDS = 40, 200  # that a frame shows


class Film:
    """Frames of one episode, at most 100: as it gets longer, of every second, fourth, eighth step.

    That bounds its memory, and a GIF of it to a few hundred KiB, whatever the episode's length.
    """

    def __init__(self) -> None:
        self._frames: list[np.ndarray] = []
        self._every, self._steps, self._fps = 1, 0, 15

    def expose(self, env: VectorEnv, now: TimeStep) -> None:
        """Takes environment 0 as it stands, if it is its turn. A task that cannot be drawn leaves the film empty."""
        self._steps += 1
        if self._steps == 1:
            self._fps = render_style(env.spec.name).fps
        if (self._steps - 1) % self._every:
            return
        try:
            picture = draw_picture(env, now.observations)
        except InputError:
            self._every = 1 << 62
            return
        self._frames.append(_small(picture))
        if len(self._frames) == MOST_FRAMES:
            self._frames, self._every = self._frames[::2], 2 * self._every

    def gif(self) -> bytes | None:
        """None where nothing was drawn."""
        from PIL import Image

        if not self._frames:
            return None
        first, *rest = (Image.fromarray(frame).quantize(COLOURS) for frame in self._frames)
        shown = min(max(1000 * self._every // self._fps, LEAST_MILLISECONDS), MOST_MILLISECONDS)
        out = io.BytesIO()
        first.save(out, "GIF", save_all=True, append_images=rest, duration=shown, loop=0)
        return out.getvalue()


class Filmed:
    """The `VectorEnv` port over another one: films the first episode of environment 0."""

    def __init__(self, env: VectorEnv, film: Film) -> None:
        self.spec, self.seeds = env.spec, env.seeds
        self._env, self._film, self._over = env, film, False

    def reset(self) -> TimeStep:
        self._now = self._env.reset()
        return self._now

    def step(self, actions: np.ndarray) -> TimeStep:
        if not self._over:
            self._film.expose(self._env, self._now)
        self._now = self._env.step(actions)
        self._over |= bool(self._now.done[0])
        return self._now

    def close(self) -> None:
        self._env.close()


def _small(picture: np.ndarray) -> np.ndarray:
    """The picture [H, W, 3] with sides of at most 160 pixels, a copy."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    return np.array(image)
