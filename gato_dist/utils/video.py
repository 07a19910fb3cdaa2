"""Video files: frames with a caption below them, written to a name of their own and renamed when they are whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gato_dist.errors import InputError
from gato_dist.utils.files import suffix_of
from gato_dist.utils.locks import hold_file

SUFFIXES = (".mp4", ".gif")
LEAST_WIDTH, LEAST_HEIGHT = 320, 256
FONT_SIZE, LINE, MARGIN = 13, 17, 6
BACKGROUND, INK = (24, 26, 32), (232, 232, 232)
# A GIF tells a frame's time in hundredths of a second, and viewers slow down below two of them.
LEAST_HUNDREDTHS = 2


class _Writer(Protocol):
    def append(self, frame: np.ndarray) -> None: ...

    def finish(self) -> None: ...

    def stop(self) -> None:
        """Lets go of the file, finished or not."""
        ...


class Film:
    """Frames of one size on their way into a file. frames: how many so far; size: (width, height) in pixels."""

    def __init__(self, path: Path, fps: int) -> None:
        self.frames, self.size = 0, (0, 0)
        self._path, self._fps = path, fps
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._writer: _Writer | None = None

    def add(self, picture: np.ndarray, lines: list[str]) -> None:
        """A picture uint8 [H, W, 3] over its caption; later ones must have the first one's size and lines."""
        frame = captioned(enlarged(picture), lines)
        if self._writer is None:
            self.size = (frame.shape[1], frame.shape[0])
            self._writer = (_Gif if suffix_of(self._path) == ".gif" else _Mp4)(self._part, self.size, self._fps)
        if frame.shape[1::-1] != self.size:
            raise RuntimeError(f"{self._path}: a video's frames are of one size, and this task's pictures are not")
        with _told(self._path):
            self._writer.append(frame)
        self.frames += 1

    @property
    def seconds(self) -> float:
        """How long the video is when it is watched."""
        gif = suffix_of(self._path) == ".gif"
        return self.frames * (_hundredths(self._fps) / 100 if gif else 1 / self._fps)

    def finish(self) -> None:
        """Makes the file whole and gives it its name."""
        with _told(self._path):
            if self._writer is not None:
                self._writer.finish()
            self._part.replace(self._path)

    def stop(self) -> None:
        """Leaves nothing behind of what is not finished."""
        if self._writer is not None:
            self._writer.stop()
        self._part.unlink(missing_ok=True)


@contextlib.contextmanager
def film(path: Path, fps: int) -> Iterator[Film]:
    """A film that stands under `path` once the block has ended well; otherwise what was there before stays."""
    check_video(path)
    with hold_file(path):
        made = Film(path, fps)
        try:
            yield made
            made.finish()
        finally:
            made.stop()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RuntimeError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_video(path: Path) -> None:
    """Raises InputError, before anything is played, where a film of this name could not be written."""
    if suffix_of(path) not in SUFFIXES:
        raise InputError(f"{path}: a video's name ends in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written")
    try:
        import PIL.Image  # noqa: F401

        if suffix_of(path) == ".mp4":
            import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise InputError(f"{path}: videos need another library: pip install 'gato-dist[video]' ({error})") from error


def enlarged(picture: np.ndarray) -> np.ndarray:
    """The picture [H, W, 3] with each pixel a square of pixels, as large as it takes to be watched."""
    height, width = picture.shape[:2]
    factor = max(-(-LEAST_WIDTH // width), -(-LEAST_HEIGHT // height))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def captioned(picture: np.ndarray, lines: list[str]) -> np.ndarray:
    """The picture [H, W, 3] above lines of text, cut where they are too long; height and width even, as codecs ask."""
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    total = height + 2 * MARGIN + LINE * len(lines)
    image = Image.new("RGB", (width + width % 2, total + total % 2), BACKGROUND)
    image.paste(Image.fromarray(np.ascontiguousarray(picture)))
    draw, font = ImageDraw.Draw(image), _font()
    for i, line in enumerate(lines):
        text = _cut(line, lambda words: draw.textlength(words, font=font), width - 2 * MARGIN)
        draw.text((MARGIN, height + MARGIN + LINE * i), text, INK, font)
    return np.asarray(image)


def _cut(line: str, length: Any, room: float) -> str:
    if length(line) <= room:
        return line
    while line and length(line + "...") > room:
        line = line[:-1]
    return line + "..."


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(FONT_SIZE)


class _Mp4:
    """H.264 through ffmpeg, playable in browsers. Frames leave memory as they come. Raises OSError."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        import imageio_ffmpeg

        self._path, self._frames = path, 0
        self._ffmpeg = imageio_ffmpeg.write_frames(
            str(path), size, fps=fps, quality=7, macro_block_size=2, ffmpeg_log_level="quiet"
        )
        self._ffmpeg.send(None)

    def append(self, frame: np.ndarray) -> None:
        try:
            self._ffmpeg.send(np.ascontiguousarray(frame))
        except OSError as error:
            raise OSError("ffmpeg stopped; is the disk full?") from error
        self._frames += 1

    def finish(self) -> None:
        import imageio_ffmpeg

        self._ffmpeg.close()
        # How ffmpeg ended is not told: only the file says whether all of it could be written.
        try:
            whole = imageio_ffmpeg.count_frames_and_secs(str(self._path))[0] == self._frames
        except RuntimeError:
            whole = False
        if not whole:
            raise OSError("ffmpeg left it incomplete; is the disk full?")

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._ffmpeg.close()


class _Gif:
    """Pillow writes a GIF at once: a byte a pixel stays in memory until then."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        self._path, self._milliseconds = path, 10 * _hundredths(fps)
        self._frames: list[Any] = []

    def append(self, frame: np.ndarray) -> None:
        from PIL import Image

        self._frames.append(Image.fromarray(frame).quantize(256))

    def finish(self) -> None:
        first, *rest = self._frames
        first.save(self._path, save_all=True, append_images=rest, duration=self._milliseconds, loop=0)

    def stop(self) -> None:
        self._frames.clear()


def _hundredths(fps: int) -> int:
    return max(LEAST_HUNDREDTHS, round(100 / fps))
