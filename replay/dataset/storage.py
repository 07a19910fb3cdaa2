"""Files of datasets: on this machine, or wherever a URL leads that pyarrow or fsspec know (s3://, gs://, …).

A file appears under its name when it is whole: renamed on this machine and on other file systems, put at once where
the store does that by itself.
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

# Where a file is seen once it is whole, and a rename would copy it.
OBJECT_STORES = ("s3", "gcs", "abfs")
PARTIAL = ".partial"


@dataclass(frozen=True, order=True)
class Location:
    """A file or folder, as far as datasets need one. url: a path of this machine, or scheme://place/path?options.

    Pickles, and connects where it is used. Reading raises OSError where there is no such file; whatever connects
    raises InputError for a URL that nothing here can open, which names what is missing.
    """

    url: str

    @classmethod
    def of(cls, where: "str | os.PathLike | Location") -> "Location":
        """Raises InputError for a file URL that names another machine, and as `check_path_encoding`."""
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
            raise InputError(f"{text}: a path of this machine has three slashes: {scheme}:///{rest}")
        check_path_encoding(unquote(rest))
        return cls(unquote(rest))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Location":
        base, options = self._split()
        return Location(f"{base.rstrip('/')}/{name}{options}")

    @property
    def name(self) -> str:
        return self._split()[0].rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        base, options = self._split()
        head, slash, _ = base.rstrip("/").rpartition("/")
        return Location((head or slash or ".") + options)

    def with_suffix(self, suffix: str) -> "Location":
        stem, dot, _ = self.name.rpartition(".")
        return self.parent / f"{stem if dot else self.name}{suffix}"

    def absolute(self) -> "Location":
        """Means the same from any working directory."""
        return self if self._is_url else Location(os.path.abspath(self.url))

    def exists(self) -> bool:
        return self._info().type != fs.FileType.NotFound

    def is_folder(self) -> bool:
        return self._info().type == fs.FileType.Directory

    def size(self) -> int:
        """Bytes of a file. Raises FileNotFoundError where there is none."""
        info = self._info()
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"{self}: no such file")
        return info.size

    def glob(self, pattern: str) -> "list[Location]":
        """Whole files below whose path matches, part for part, sorted; none where there is no such folder."""
        system, path = self._connected()
        parts = pattern.split("/")
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=len(parts) > 1))
        paths = [self._path_of(info) for info in found if info.type == fs.FileType.File]
        below = [each.removeprefix(path).strip("/").split("/") for each in paths]
        matching = [names for names in below if len(names) == len(parts) and all(map(fnmatchcase, names, parts))]
        matching = [names for names in matching if not names[-1].endswith(PARTIAL)]
        return [self / "/".join(names) for names in sorted(matching)]

    def open(self) -> pa.NativeFile:
        """For reading, seekable."""
        system, path = self._connected()
        return system.open_input_file(path)

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def read_text(self) -> str:
        return self.read_bytes().decode()

    @contextmanager
    def replace(self) -> Iterator[Path]:
        """A path of this machine to write to; what stands there when the context ends well becomes this file."""
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
        with self.replace() as partial:
            partial.write_text(text, "utf-8")

    def unlink(self) -> None:
        """Of a file; does nothing where there is none."""
        system, path = self._connected()
        if self.exists():
            system.delete_file(path)

    def sweep(self) -> None:
        """Deletes what writers that were killed have left below. Of an hour ago: what is younger may be going on."""
        system, path = self._connected()
        for info in system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True)):
            if (
                self._path_of(info).endswith(PARTIAL)
                and info.mtime_ns
                and info.mtime_ns < time.time_ns() - 3600 * 10**9
            ):
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
            return info.path
        except UnicodeDecodeError as error:
            raise InputError(f"{self}: holds {ascii(error.object)[1:]}, a name that is not UTF-8; change it") from error

    @property
    def _is_url(self) -> bool:
        return "://" in self.url

    def _split(self) -> tuple[str, str]:
        """What comes before a URL's options, and those, with their question mark."""
        base, mark, options = self.url.partition("?") if self._is_url else (self.url, "", "")
        return base, mark + options

    def _info(self) -> fs.FileInfo:
        system, path = self._connected()
        return system.get_file_info(path)

    def _connected(self) -> tuple[fs.FileSystem, str]:
        if not self._is_url:
            return _THIS_MACHINE, self.url
        base, options = self._split()
        scheme, _, rest = base.partition("://")
        place, slash, path = rest.partition("/")
        system, root = _connect(f"{scheme}://{place}{options}")
        return system, root.rstrip("/") + slash + path.rstrip("/")


_THIS_MACHINE = fs.LocalFileSystem()


@lru_cache
def _connect(url: str) -> tuple[fs.FileSystem, str]:
    """A file system and where in it the URL leads. Raises InputError, which says what to install or to mend."""
    scheme = url.partition("://")[0]
    try:
        return fs.FileSystem.from_uri(url)
    except pa.ArrowInvalid as error:
        # Of a scheme that pyarrow knows, fsspec may know less of what is wrong.
        if "Unrecognized filesystem" not in str(error):
            raise InputError(f"{url}: {brief(error, limit=None)}") from error
    except OSError as error:
        raise InputError(f"{url}: cannot be reached ({brief(error)})") from error
    import fsspec

    try:
        # Others write there too: a listing of a minute ago is worth nothing.
        system, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise InputError(f"{url}: {error}, with pip") from error
    except ValueError as error:
        raise InputError(
            f"{url}: neither pyarrow nor fsspec knows {scheme}://, or what it leads to ({error})"
        ) from error
    except OSError as error:
        raise InputError(f"{url}: cannot be reached ({brief(error)})") from error
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def _copy(local: Path, system: fs.FileSystem, path: str) -> None:
    with local.open("rb") as source, system.open_output_stream(path) as target:
        shutil.copyfileobj(source, target, 2**24)
