"""Reading files by the names that a table gives, and never one outside the dataset's root.

A root is a folder of this machine, or a URL that fsspec reads.
"""

from __future__ import annotations

import os
import re
import tarfile
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

from heml.sources.image_names import IMAGE_SUFFIXES
from heml.sources.raw import SourceError, Unacceptable

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")

#: File systems that give nothing but bytes; others that fsspec knows run code, keep pickles or
#: reach into running programs.
PROTOCOLS = (
    *("abfs", "abfss", "az", "file", "gcs", "gs", "hf", "http", "https", "local", "memory", "oci"),
    *("r2", "s3", "s3a", "simplecache", "tar", "webhdfs", "zip"),
)

#: No image format needs more bytes per pixel than 16-bit RGBA; metadata gets some room.
_BYTES_PER_PIXEL, _SPARE_BYTES = 8, 1 << 24

#: What tells one content of a remote file from another, as the file systems name it.
_STAMPS = (
    *("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "created", "CRC"),
    *("date_time", "generation", "md5Hash", "content_md5", "blob_id", "xet_hash"),
)
_DAMAGED = (OSError, EOFError, zipfile.BadZipFile, zlib.error, tarfile.TarError)


class Listing(NamedTuple):
    """Names in a folder, sorted, without those that begin with a dot.

    Links to folders are among the files: what is behind them could lead back up.
    """

    folders: list[str]
    files: list[str]


def most_bytes(max_pixels: int) -> int:
    """Size above which a file cannot be an image of so many pixels."""
    return max_pixels * _BYTES_PER_PIXEL + _SPARE_BYTES


def is_url(root: str) -> bool:
    """Whether a root is no path of this machine, such as `s3://bucket` or `zip://::data.zip`."""
    return _URL.match(root) is not None


def expanded(root: str, key: str = "root") -> str:
    """A root with `~` and environment variables replaced.

    Raises
    ------
    SourceError
        If a variable is not set.
    """
    for match in _VARIABLE.finditer(root):
        name = match[1] or match[2]
        if name not in os.environ:
            raise SourceError(
                f"source.{key}: '{root}' uses the environment variable {name}, which is not set; "
                f"set it or write the folder"
            )
    return os.path.expanduser(os.path.expandvars(root))


class Files(ABC):
    """The files below a root.

    Names are relative, with `/` between folders. A name that leaves the root is refused by every
    method that reads.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    @abstractmethod
    def shown(self, name: str = "") -> str:
        """A file, or the root, as messages name it."""

    @abstractmethod
    def has_root(self) -> bool:
        """Whether the root is a folder."""

    @abstractmethod
    def is_file(self, name: str) -> bool: ...

    def is_folder(self, name: str) -> bool:
        """Whether a name among the files of a listing is a link to a folder."""
        return False

    @abstractmethod
    def listing(self, folder: str = "") -> Listing:
        """What is in a folder; nothing if there is none."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """A table to be read in parts. The caller closes it.

        Raises
        ------
        SourceError
        """

    @abstractmethod
    def stamp(self, name: str) -> object:
        """JSON-like: size and time of change, or what else tells contents apart; None if absent."""

    @abstractmethod
    def _load(self, name: str, missing: str) -> bytes: ...

    def read(self, name: str, missing: str) -> bytes:
        """Content of a file.

        Parameters
        ----------
        name : str
            Relative to the root.
        missing : str
            The reason if there is no such file.

        Raises
        ------
        Unacceptable
        """
        if not name.strip():
            raise Unacceptable(missing, "the name is empty")
        return self._load(name, missing)

    def walk(self, folder: str = "") -> Iterator[str]:
        """All files below a folder, each folder's own before those of its folders."""
        found = self.listing(folder)
        yield from (joined(folder, name) for name in found.files)
        for name in found.folders:
            yield from self.walk(joined(folder, name))

    def _refuse_size(self, name: str, size: int) -> None:
        if size > self._max_bytes:
            raise Unacceptable("too_large", f"'{name}' has {size} bytes")

    def _absent(self, name: str, missing: str) -> Unacceptable:
        hint = " (write / between folders)" if "\\" in name else self._near(name)
        return Unacceptable(missing, f"there is no file '{name}'{hint}")

    def _near(self, name: str) -> str:
        """What is there instead of a file, for messages."""
        return ""


class LocalFiles(Files):
    """The files below a folder of this machine; links must stay below it."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._root = root

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self._root)

    def _locate(self, name: str) -> str:
        """Absolute path of a file below the root, links resolved."""
        refuse_unsafe(name)
        paths = [os.path.join(self._real_root, spelling) for spelling in spellings(name)]
        path = os.path.realpath(next(filter(os.path.lexists, paths), paths[0]))
        if os.path.commonpath([path, self._real_root]) != self._real_root:
            raise Unacceptable("unsafe_path", f"'{name}' leads out of the root, to {path}")
        return path

    def shown(self, name: str = "") -> str:
        return str(self._root / name)

    def has_root(self) -> bool:
        return self._root.is_dir()

    def is_file(self, name: str) -> bool:
        try:
            return os.path.isfile(self._locate(name))
        except Unacceptable:
            return False

    def is_folder(self, name: str) -> bool:
        return os.path.isdir(self._root / name)

    def listing(self, folder: str = "") -> Listing:
        found = Listing([], [])
        try:
            entries = sorted(os.scandir(self._locate(folder)), key=lambda entry: entry.name)
        except (Unacceptable, OSError):
            return found
        for entry in entries:
            if not entry.name.startswith("."):
                (found.folders if entry.is_dir(follow_symlinks=False) else found.files).append(
                    entry.name
                )
        return found

    def open(self, name: str) -> BinaryIO:
        try:
            path = self._locate(name)
            # a pipe or a device would block, or never end
            if os.path.exists(path) and not os.path.isfile(path):
                raise SourceError(f"{self.shown(name)} is no regular file; write a file")
            return open(path, "rb")
        except (Unacceptable, OSError) as error:
            raise SourceError(f"{self.shown(name)} cannot be read: {error}") from error

    def _load(self, name: str, missing: str) -> bytes:
        path = self._locate(name)
        # also keeps pipes and devices away, which would block
        if not os.path.isfile(path):
            raise self._absent(name, missing)
        try:
            self._refuse_size(name, os.path.getsize(path))
            return Path(path).read_bytes()
        except OSError as error:
            raise Unacceptable("unreadable_file", f"'{name}': {error.strerror}") from error

    def _near(self, name: str) -> str:
        stem = name.removesuffix(PurePosixPath(name).suffix)
        others = (stem + suffix for suffix in IMAGE_SUFFIXES)
        found = next((other for other in others if self.is_file(other)), None)
        return "" if found is None else f"; there is '{found}'"

    def stamp(self, name: str) -> object:
        try:
            status = os.stat(self._locate(name))
        except (Unacceptable, OSError):
            return None
        return status.st_size, status.st_mtime_ns


class RemoteFiles(Files):
    """The files below a URL. Credentials come from the environment, as its library reads them."""

    def __init__(self, url: str, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._url = url
        _refuse_protocols(url)
        from fsspec.core import url_to_fs

        try:
            self._fs, root = url_to_fs(url)
            self._fs.invalidate_cache()
        except ImportError as error:
            raise SourceError(
                f"source.root: '{url}' needs a library: {error} (for s3: pip install 'heml[s3]')"
            ) from error
        except Exception as error:  # whatever a service's library raises
            raise SourceError(f"source.root: '{url}' cannot be opened: {error}") from error
        self._root = str(root).rstrip("/")
        self._listed: tuple[str, dict[str, Any]] = ("", {})

    def _locate(self, name: str) -> str:
        refuse_unsafe(name)
        # servers decode names and resolve their dots
        refuse_unsafe(unquote(name))
        return joined(self._root, normal(name))

    def shown(self, name: str = "") -> str:
        if "::" in self._url:
            outer, _, rest = self._url.partition("::")
            return f"{joined(outer, name)}::{rest}"
        return joined(self._url, name)

    def has_root(self) -> bool:
        try:
            return not self._root or bool(self._fs.isdir(self._root))
        except Exception as error:  # whatever a service's library raises
            raise SourceError(f"source.root: '{self._url}' cannot be opened: {error}") from error

    def is_file(self, name: str) -> bool:
        try:
            return bool(self._fs.isfile(self._locate(name)))
        except Unacceptable:
            return False

    def listing(self, folder: str = "") -> Listing:
        try:
            entries = self._fs.ls(self._locate(folder) if folder else self._root, detail=True)
        except (Unacceptable, FileNotFoundError, NotADirectoryError):
            return Listing([], [])
        found = Listing([], [])
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
            if name and not name.startswith("."):
                (found.folders if entry["type"] == "directory" else found.files).append(name)
        return Listing(sorted(found.folders), sorted(found.files))

    def open(self, name: str) -> BinaryIO:
        try:
            file: BinaryIO = self._fs.open(self._locate(name), "rb")
        except (Unacceptable, *_DAMAGED) as error:
            raise SourceError(f"{self.shown(name)} cannot be read: {error}") from error
        return file

    def _load(self, name: str, missing: str) -> bytes:
        for spelling in spellings(name):
            try:
                return self._load_spelled(spelling, missing)
            except Unacceptable as error:
                if error.refusal.reason != missing:
                    raise
        raise self._absent(name, missing)

    def _load_spelled(self, name: str, missing: str) -> bytes:
        path = self._locate(name)
        try:
            information = self._fs.info(path)
            if information["type"] != "file":
                raise self._absent(name, missing)
            self._refuse_size(name, information["size"] or 0)
            return bytes(self._fs.cat_file(path))
        except FileNotFoundError as error:
            raise self._absent(name, missing) from error
        except _DAMAGED as error:
            raise Unacceptable("unreadable_file", f"'{name}': {error}") from error

    def stamp(self, name: str) -> object:
        found = (self._stamp_spelled(spelling) for spelling in spellings(name))
        return next((stamp for stamp in found if stamp is not None), None)

    def _stamp_spelled(self, name: str) -> object:
        try:
            path = self._locate(name)
        except Unacceptable:
            return None
        folder = path.rpartition("/")[0]
        if self._listed[0] != folder or not self._listed[1]:
            # one request for a folder instead of one for each file
            self._listed = (folder, self._details(folder))
        details = self._listed[1].get(path)
        if details is None:
            try:
                details = self._fs.info(path)
            except FileNotFoundError:
                return None
        return {key: str(details[key]) for key in _STAMPS if details.get(key) is not None}

    def _details(self, folder: str) -> dict[str, Any]:
        try:
            return {str(entry["name"]): entry for entry in self._fs.ls(folder, detail=True)}
        except (FileNotFoundError, NotADirectoryError, NotImplementedError):
            return {}


def open_files(root: str, base: Path, max_bytes: int) -> Files:
    """The files below a root.

    Parameters
    ----------
    root : str
        A folder, absolute or relative to `base`, or a URL; `~` and variables are replaced.
    base : pathlib.Path
    max_bytes : int
        Larger files are not read.

    Raises
    ------
    SourceError
        If the URL's protocol is not one of `PROTOCOLS`, carries a password, or cannot be opened.
    """
    root = expanded(root)
    if not is_url(root):
        return LocalFiles(base / root, max_bytes)
    if re.match(r"(simplecache::)?(file|local)://", root):
        # links are only followed with care where the paths are known to be local
        return LocalFiles(Path(root.partition("://")[2]), max_bytes)
    chain, separator, last = root.rpartition("::")
    if separator and not is_url(last):
        root = f"{chain}::{base / last}"
    return RemoteFiles(root, max_bytes)


def refuse_unsafe(name: str) -> None:
    """Refuses a name that is absolute or leaves the root by its dots.

    Raises
    ------
    Unacceptable
    """
    if "\0" in name:
        raise Unacceptable("unsafe_path", "the name holds a NUL character")
    if name.startswith("/") or PureWindowsPath(name).is_absolute():
        raise Unacceptable("unsafe_path", f"'{name}' is absolute; names are relative to the root")
    if normal(name).split("/")[0] == "..":
        raise Unacceptable("unsafe_path", f"'{name}' leaves the root")


def spellings(name: str) -> list[str]:
    """A name, and its other Unicode forms: a table may say é as one character where the disk says
    it as e and an accent, as macOS does, or the other way round.
    """
    if name.isascii():
        return [name]
    return list(dict.fromkeys([name, *(unicodedata.normalize(f, name) for f in ("NFC", "NFD"))]))


def normal(name: str) -> str:
    """The name without `.` parts, doubled slashes and `..` parts that stay inside."""
    return os.path.normpath(name.strip()) if name.strip() else ""


def joined(folder: str, name: str) -> str:
    """A name in a folder; the name itself where the folder is the root."""
    if not folder or not name:
        return folder or name
    return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"


def _refuse_protocols(url: str) -> None:
    for part in url.split("::"):
        protocol = part.partition("://")[0].lower()
        if ("://" in part or not part.startswith(("/", "."))) and protocol not in PROTOCOLS:
            raise SourceError(
                f"source.root: '{protocol}' is no known kind of URL; use one of: "
                + ", ".join(PROTOCOLS)
            )
        if "://" in part and urlsplit(part).password is not None:
            raise SourceError(
                "source.root: the URL carries a password; leave it out and set the credentials in "
                "the environment"
            )
