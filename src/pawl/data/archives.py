"""Image files in a folder or an archive.

Archives are read in stream order and never unpacked; one image is held at a time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from pawl.data import memory
from pawl.data.csvfiles import CSV_SUFFIXES, PARQUET_SUFFIXES
from pawl.errors import DataError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
IMAGE_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
)
MAX_IMAGE_BYTES = 2**28
MAX_ARCHIVE_FILES = 1_000_000

_SLACK = 2**26  # headers and padding

_Readable = gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File | io.BufferedReader

_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class ImageFile:
    """One image file, not decoded.

    Attributes:
        name: Its path inside the source, with forward slashes.
        content: The encoded bytes, or the file that holds them.
    """

    name: str
    content: bytes | Path

    def open(self) -> io.BytesIO | Path:
        """What PIL can open."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content


@dataclass(frozen=True)
class ImageFiles:
    """A folder, an archive or a single file of images.

    Attributes:
        path: Where it is.
        limit: What an archive may unpack to, in bytes.
    """

    path: Path
    limit: int

    @classmethod
    def at(cls, path: Path) -> ImageFiles:
        """Finds what an archive may unpack to on this machine as it is now."""
        return cls(path, memory.allowed())

    def __iter__(self) -> Iterator[ImageFile]:
        """Yields the images one by one, in the order in which they lie.

        Hidden files and files that are no images by their extension are passed over. If an archive
        has several of one name, the last one counts.

        Raises:
            DataError: If the archive is broken, encrypted, too large, or has paths that lead out or
                links; if a folder has links that lead out; or if there are no images.
        """
        path, found = self.path, False
        if path.is_dir():
            files = _from_folder(path)
        elif is_image(path.name):
            files = iter([ImageFile(path.name, path)])
        else:
            is_zip = path.name.lower().endswith(".zip")
            files = (_from_zip if is_zip else _from_tar)(path, self.limit)
        try:
            for file in files:
                found = True
                yield file
        except _BROKEN as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{path.name} cannot be read as an archive ({reason}); check or download it again"
            ) from error
        if not found:
            raise DataError(
                f"{path.name} has no images; allowed are files ending in "
                f"{', '.join(IMAGE_SUFFIXES)}; give a folder or archive with one folder of images "
                f"per class"
            )


def refuse_zipped_table(path: Path) -> None:
    """Raises `DataError` when a file is a zip of a table; archives are for images."""
    if not path.name.lower().endswith(".zip"):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _BROKEN:  # said where its images are read
        return
    tables = [name for name in names if name.lower().endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES))]
    if tables and not any(map(is_image, names)):
        raise DataError(
            f"{path.name} is a zip of a table ({tables[0]!r}); archives are for images; unzip it, or "
            f"compress it as .csv.gz"
        )


def is_image(name: str) -> bool:
    """Whether a path is an image's by its extension, and not hidden."""
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and name.lower().endswith(IMAGE_SUFFIXES)


def _from_folder(folder: Path) -> Iterator[ImageFile]:
    for parent, folders, files in os.walk(folder):
        for name in folders:
            if not name.startswith("."):
                _check_inside(Path(parent, name), folder)
        for file in files:
            path = Path(parent, file)
            name = path.relative_to(folder).as_posix()
            if is_image(name):
                _check_inside(path, folder)
                if path.exists() and not path.is_file():
                    raise DataError(
                        f"{folder.name} has a pipe or device at {name!r}; allowed are files and "
                        f"folders; remove it"
                    )
                yield ImageFile(name, path)


def _check_inside(path: Path, folder: Path) -> None:
    """Refuses a link that leads out of the folder: what it leads to is not the user's to give."""
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{folder.name} has a link at {path.relative_to(folder).as_posix()!r} that leads out of "
            f"it, to {str(path.resolve())!r}; allowed are links to what is inside; put what it leads "
            f"to in its place, for example with cp -rL"
        )


class _Guard:
    """Refuses an archive's dangerous members before anything of them is read."""

    def __init__(self, archive: str, limit: int) -> None:
        self._archive = archive
        self._limit = limit
        self._num_files = 0
        self._num_bytes = 0

    def check(self, name: str, size: int, *, is_regular: bool) -> str:
        """Returns the member's normal path."""
        parts = [part for part in re.split(r"[/\\]", name) if part != "."]
        absolute = name.startswith(("/", "\\")) or bool(re.match(r"[A-Za-z]:", name))
        if absolute or ".." in parts:
            raise DataError(
                f"{self._archive} has the path {name!r}, which leads out of the archive; allowed "
                f"are relative paths without '..'; pack it again"
            )
        if not is_regular:
            raise DataError(
                f"{self._archive} has a link or device at {name!r}; allowed are files and folders; "
                f"pack it again with the files themselves"
            )
        self._num_files += 1
        self._num_bytes += size
        if self._num_files > MAX_ARCHIVE_FILES or self._num_bytes > self._limit:
            raise _too_large(self._archive, self._limit)
        path = "/".join(part for part in parts if part)
        if is_image(path) and size > MAX_IMAGE_BYTES:
            raise DataError(
                f"{self._archive} has an image of {size:,} bytes, {path!r}; allowed are "
                f"{MAX_IMAGE_BYTES:,}; shrink or remove it"
            )
        return path


def _too_large(name: str, limit: int) -> DataError:
    return DataError(
        f"{name} unpacks to more than is allowed ({memory.size(limit)}, which is half of the memory "
        f"that is left or {memory.VARIABLE}, and {MAX_ARCHIVE_FILES:,} files); unpack it yourself, "
        f"check it, and give what is in it"
    )


def _from_tar(path: Path, limit: int) -> Iterator[ImageFile]:
    guard = _Guard(path.name, limit)
    with (
        _decompressed(path) as file,
        _open_tar(stream := _Stream(file, path.name, limit)) as archive,
    ):
        for member in archive:
            is_regular = member.isfile() or member.isdir()
            name = guard.check(member.name, member.size, is_regular=is_regular)
            if member.isfile() and is_image(name):
                content = archive.extractfile(member)
                assert content is not None
                yield ImageFile(name, content.read())
            cast("Any", archive).members.clear()  # or it would remember them all
        if stream.block(archive.offset) != bytes(tarfile.BLOCKSIZE):
            raise DataError(
                f"{path.name} cannot be read as an archive (it ends without an end mark, so it was "
                f"cut or is damaged); check or download it again"
            )


class _Stream(io.RawIOBase):
    """Remembers the last chunk: `tarfile` takes a cut or damaged member for the archive's end.

    It counts what it reads, as `tarfile` reads a header's own data before it shows the member.
    """

    def __init__(self, file: _Readable, archive: str, limit: int) -> None:
        self._file = file
        self._archive = archive
        self._limit = limit
        self._chunk = b""
        self._end = 0

    def read(self, size: int = -1) -> bytes:
        self._chunk = self._file.read(size)
        self._end += len(self._chunk)
        if self._end > self._limit + _SLACK:
            raise _too_large(self._archive, self._limit)
        return self._chunk

    def block(self, offset: int) -> bytes:
        """The block at an offset, as far as the last chunk holds it."""
        start = offset - self._end + len(self._chunk)
        return self._chunk[start : start + tarfile.BLOCKSIZE]


def _open_tar(stream: _Stream) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|")


def _decompressed(path: Path) -> _Readable:
    """The tar's bytes. These readers notice a cut file, which `tarfile`'s own pass over."""
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.open(path)
    return bz2.open(path) if magic.startswith(b"BZh") else path.open("rb")


def _from_zip(path: Path, limit: int) -> Iterator[ImageFile]:
    guard = _Guard(path.name, limit)
    with zipfile.ZipFile(path) as archive:
        images: list[tuple[str, zipfile.ZipInfo]] = []
        for member in archive.infolist():  # all are checked before any is unpacked
            mode = member.external_attr >> 16
            is_regular = not stat.S_IFMT(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)
            name = guard.check(member.filename, member.file_size, is_regular=is_regular)
            if not member.is_dir() and is_image(name):
                if member.flag_bits & 1:
                    raise DataError(
                        f"{path.name} is encrypted; allowed are archives without a password; "
                        f"unpack it and give the folder"
                    )
                images.append((name, member))
        for name, member in images:
            yield ImageFile(name, archive.read(member))
