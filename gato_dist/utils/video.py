"""Video files of episodes: frames with a caption below each, written atomically as MP4 or GIF."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gato_dist.errors import InputError
from gato_dist.utils.files import lowercase_suffix
from gato_dist.utils.locks import hold_file

Picture = NDArray[np.uint8]  # [H, W, 3]

SUFFIXES = (".mp4", ".gif")
MIN_WIDTH, MIN_HEIGHT = 320, 256
FONT_SIZE, LINE, MARGIN = 13, 17, 6
BACKGROUND, INK = (24, 26, 32), (232, 232, 232)
# A GIF stores frame times in hundredths of a second, and viewers play anything below two of them slowly.
MIN_HUNDREDTHS = 2


class _Writer(Protocol):
    def append(self, frame: Picture) -> None: ...

    def finish(self) -> None: ...

    def stop(self) -> None:
        """Releases the file, finished or not."""
        ...


class Film:
    """A video file that is being written. All frames have the same size.

    Attributes:
        frames: number of frames so far.
        size: (width, height) in pixels.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self.frames, self.size = 0, (0, 0)
        self._path, self._fps = path, fps
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._writer: _Writer | None = None

    def add(self, picture: Picture, lines: list[str]) -> None:
        """Adds a frame.

        Args:
            picture: uint8 [H, W, 3].
            lines: lines of the caption.

        Raises:
            RuntimeError: if the frame has another size than the first one, or the file cannot be written.
        """
        frame = captioned(enlarged(picture), lines)
        if self._writer is None:
            self.size = (frame.shape[1], frame.shape[0])
            self._writer = (_Gif if lowercase_suffix(self._path) == ".gif" else _Mp4)(self._part, self.size, self._fps)
        if frame.shape[1::-1] != self.size:
            raise RuntimeError(f"{self._path}: a video's frames are of one size, and this task's pictures are not")
        with _explain_write_errors(self._path):
            self._writer.append(frame)
        self.frames += 1

    @property
    def seconds(self) -> float:
        """Returns the playing time of the video."""
        gif = lowercase_suffix(self._path) == ".gif"
        return self.frames * (_hundredths(self._fps) / 100 if gif else 1 / self._fps)

    def finish(self) -> None:
        """Completes the file and renames it to its final name."""
        with _explain_write_errors(self._path):
            if self._writer is not None:
                self._writer.finish()
            self._part.replace(self._path)

    def stop(self) -> None:
        """Removes the file unless it is finished."""
        if self._writer is not None:
            self._writer.stop()
        self._part.unlink(missing_ok=True)


@contextlib.contextmanager
def film(path: Path, fps: int) -> Iterator[Film]:
    """Yields a video that replaces `path` if the block succeeds; otherwise the previous file stays.

    Args:
        path: the video file, .mp4 or .gif.
        fps: frames per second.

    Raises:
        InputError: as `check_video`, or if another process writes the file.
    """
    check_video(path)
    with hold_file(path):
        made = Film(path, fps)
        try:
            yield made
            made.finish()
        finally:
            made.stop()


@contextlib.contextmanager
def _explain_write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RuntimeError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_video(path: Path) -> None:
    """Checks, before anything is played, that a video can be written.

    Raises:
        InputError: if the suffix, the folder or the permissions do not allow it, or a library is missing.
    """
    if lowercase_suffix(path) not in SUFFIXES:
        raise InputError(f"{path}: a video's name ends in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written")
    try:
        import PIL.Image  # noqa: F401

        if lowercase_suffix(path) == ".mp4":
            import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise InputError(f"{path}: videos need another library: pip install 'gato-dist[video]' ({error})") from error


def enlarged(picture: Picture) -> Picture:
    """Returns a picture uint8 [H, W, 3], with each pixel repeated until the picture is large enough to watch."""
    height, width = picture.shape[:2]
    factor = max(-(-MIN_WIDTH // width), -(-MIN_HEIGHT // height))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def captioned(picture: Picture, lines: list[str]) -> Picture:
    """Returns a picture with lines of text below it; lines that are too long are cut.

    Args:
        picture: uint8 [H, W, 3].
        lines: lines of text.

    Returns:
        uint8 [H', W', 3]. Height and width are even, as video codecs require.
    """
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
    """Writes H.264 through ffmpeg, playable in browsers. Frames do not stay in memory. Methods raise OSError."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        import imageio_ffmpeg

        self._path, self._frames = path, 0
        self._ffmpeg = imageio_ffmpeg.write_frames(
            str(path), size, fps=fps, quality=7, macro_block_size=2, ffmpeg_log_level="quiet"
        )
        self._ffmpeg.send(None)

    def append(self, frame: Picture) -> None:
        try:
            self._ffmpeg.send(np.ascontiguousarray(frame))
        except OSError as error:
            raise OSError("ffmpeg stopped; is the disk full?") from error
        self._frames += 1

    def finish(self) -> None:
        import imageio_ffmpeg

        self._ffmpeg.close()
        # imageio does not report how ffmpeg ended: only the file shows whether it is complete.
        try:
            complete = imageio_ffmpeg.count_frames_and_secs(str(self._path))[0] == self._frames
        except RuntimeError:
            complete = False
        if not complete:
            raise OSError("ffmpeg left it incomplete; is the disk full?")

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._ffmpeg.close()


class _Gif:
    """Writes a GIF through Pillow. All frames stay in memory until the end, at one byte per pixel."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        self._path, self._milliseconds = path, 10 * _hundredths(fps)
        self._frames: list[Any] = []

    def append(self, frame: Picture) -> None:
        from PIL import Image

        self._frames.append(Image.fromarray(frame).quantize(256))

    def finish(self) -> None:
        first, *rest = self._frames
        first.save(self._path, save_all=True, append_images=rest, duration=self._milliseconds, loop=0)

    def stop(self) -> None:
        self._frames.clear()


def _hundredths(fps: int) -> int:
    return max(MIN_HUNDREDTHS, round(100 / fps))
