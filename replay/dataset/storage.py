"""Files of datasets, on this machine or at a URL that pyarrow or fsspec can open (s3://, gs://, …).

A file appears under its name only when it is complete. File systems get a temporary file that is renamed; object stores
make an upload visible only at its end.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from gato_dist.errors import InputError, brief
from gato_dist.utils.files import explain_full_disk, fsync
from gato_dist.utils.locale_support import check_path_encoding

# An upload becomes visible at its end, and a rename would copy the file.
OBJECT_STORES = ("s3", "gcs", "abfs")
PARTIAL = ".partial"
STALE_SECONDS = 3600  # an older partial file has no writer any more


@dataclass(frozen=True, order=True)
class Location:
    """A file or folder. Can be pickled; each process connects to remote storage when it needs to.

    Methods that access storage raise InputError if nothing here can open the URL; the message says what is missing.
    Reading a file that does not exist raises OSError.

    Attributes:
        url: a path on this machine, or scheme://host/path?options.
    """

    url: str

    @classmethod
    def of(cls, where: "str | os.PathLike[str] | Location") -> "Location":
        """Returns the location of a path or URL.

        Raises:
            InputError: a file:// URL names another machine, or a path is not valid text (`check_path_encoding`).
        """
        if isinstance(where, Location):
            return where
        text = os.fspath(where)
        scheme, sign, rest = text.partition("://")
        if not sign:
            check_path_encoding(text)
            return cls(text)
        if scheme not in ("file", "local"):
            return cls(text)
        if not rest.startswith("/"):
            raise InputError(f"{text}: a path on this machine has three slashes: {scheme}:///{rest}")
        check_path_encoding(unquote(rest))
        return cls(unquote(rest))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Location":
        base, options = self._split()
        return Location(f"{base.rstrip('/')}/{name}{options}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._split()[0].rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        base, options = self._split()
        head, slash, _ = base.rstrip("/").rpartition("/")
        return Location((head or slash or ".") + options)

    def with_suffix(self, suffix: str) -> "Location":
        """Returns the location with another suffix, as `pathlib.Path.with_suffix`."""
        stem, dot, _ = self.name.rpartition(".")
        return self.parent / f"{stem if dot else self.name}{suffix}"

    def absolute(self) -> "Location":
        """Returns a location that does not depend on the working directory."""
        return self if self._is_url else Location(os.path.abspath(self.url))

    def exists(self) -> bool:
        """Returns whether there is a file or folder."""
        return bool(self._info().type != fs.FileType.NotFound)

    def is_folder(self) -> bool:
        """Returns whether there is a folder."""
        return bool(self._info().type == fs.FileType.Directory)

    def size(self) -> int:
        """Returns the bytes of a file. Raises FileNotFoundError if there is none."""
        info = self._info()
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"{self}: no such file")
        return int(info.size)

    def glob(self, pattern: str) -> "list[Location]":
        """Returns the complete files below this folder whose relative path matches, sorted.

        Args:
            pattern: such as `*/*.json`. A file matches if it has as many path parts and each part matches.

        Returns:
            Empty if the folder does not exist.
        """
        system, path = self._connected()
        parts = pattern.split("/")
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=len(parts) > 1))
        paths = [self._path_of(info) for info in found if info.type == fs.FileType.File]
        below = [each.removeprefix(path).strip("/").split("/") for each in paths]
        matching = [names for names in below if len(names) == len(parts) and all(map(fnmatchcase, names, parts))]
        matching = [names for names in matching if not names[-1].endswith(PARTIAL)]
        return [self / "/".join(names) for names in sorted(matching)]

    def open(self) -> pa.NativeFile:
        """Opens the file for reading. The result is seekable."""
        system, path = self._connected()
        return system.open_input_file(path)

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return bytes(file.read())

    def read_text(self) -> str:
        return self.read_bytes().decode()

    @contextmanager
    def atomic_write(self) -> Iterator[Path]:
        """Yields a local path to write to. It becomes this file when the context ends without an error."""
        name = f".{self.name}.{uuid.uuid4().hex}{PARTIAL}"
        if self._is_url:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder) / name
                self._upload(Path(folder) / name, name)
            return
        path = Path(self.url)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(name)
        try:
            with explain_full_disk(path):
                yield partial
                fsync(partial)
                partial.rename(path)
                fsync(path.parent)
        finally:
            partial.unlink(missing_ok=True)

    def write_text(self, text: str) -> None:
        """Writes a file of UTF-8 text. An interrupted write leaves the old file, if any."""
        with self.atomic_write() as partial:
            partial.write_text(text, "utf-8")

    def unlink(self) -> None:
        """Deletes a file, if it exists."""
        system, path = self._connected()
        if self.exists():
            system.delete_file(path)

    def delete_stale_partials(self) -> None:
        """Deletes partial files below this folder that killed writers left. Younger ones may still be in use."""
        system, path = self._connected()
        stale = time.time_ns() - STALE_SECONDS * 10**9
        for info in system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True)):
            if self._path_of(info).endswith(PARTIAL) and info.mtime_ns and info.mtime_ns < stale:
                system.delete_file(info.path)

    def _upload(self, local: Path, name: str) -> None:
        system, path = self._connected()
        if system.type_name in OBJECT_STORES:
            _copy(local, system, path)
            return
        folder = path.rpartition("/")[0]
        system.create_dir(folder, recursive=True)
        _copy(local, system, f"{folder}/{name}")
        system.move(f"{folder}/{name}", path)

    def _path_of(self, info: fs.FileInfo) -> str:
        try:
            return str(info.path)
        except UnicodeDecodeError as error:
            raise InputError(f"{self}: holds {ascii(error.object)[1:]}, a name that is not UTF-8; change it") from error

    @property
    def _is_url(self) -> bool:
        return "://" in self.url

    def _split(self) -> tuple[str, str]:
        """Returns the URL without its options, and the options with their question mark."""
        base, mark, options = self.url.partition("?") if self._is_url else (self.url, "", "")
        return base, mark + options

    def _info(self) -> fs.FileInfo:
        system, path = self._connected()
        return system.get_file_info(path)

    def _connected(self) -> tuple[fs.FileSystem, str]:
        if not self._is_url:
            return _LOCAL, self.url
        base, options = self._split()
        scheme, _, rest = base.partition("://")
        host, slash, path = rest.partition("/")
        system, root = _connect(f"{scheme}://{host}{options}")
        return system, root.rstrip("/") + slash + path.rstrip("/")


_LOCAL = fs.LocalFileSystem()


@lru_cache
def _connect(url: str) -> tuple[fs.FileSystem, str]:
    """Returns a file system and the URL's path in it. Raises InputError, which says what to install or to fix."""
    scheme = url.partition("://")[0]
    try:
        system, path = fs.FileSystem.from_uri(url)
        return system, str(path)
    except pa.ArrowInvalid as error:
        # pyarrow knows the scheme and its message is the better one: do not try fsspec.
        if "Unrecognized filesystem" not in str(error):
            raise InputError(f"{url}: {brief(error)}") from error
    except OSError as error:
        raise InputError(f"{url}: cannot be reached ({brief(error)})") from error
    import fsspec

    try:
        # No cached listings: other processes write there too.
        system, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise InputError(f"{url}: {error}, with pip") from error
    except ValueError as error:
        raise InputError(f"{url}: neither pyarrow nor fsspec can open {scheme}:// ({error})") from error
    except OSError as error:
        raise InputError(f"{url}: cannot be reached ({brief(error)})") from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def _copy(local: Path, system: fs.FileSystem, path: str) -> None:
    with local.open("rb") as source, system.open_output_stream(path) as target:
        shutil.copyfileobj(source, target, 2**24)
