"""The recorder's journal: wire messages one after another, each behind its length, readable after any crash.

Every message reaches the operating system before the next one is taken, so kill -9 loses at most a torn
last record, which readers leave out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import OutputError, SourceError
from pipeline.messages import Message
from pipeline.processes.wire import pack, unpack

MAGIC = b"PSJ1"
_LENGTH = struct.Struct("<I")


class Journal:
    """A journal that is being written."""

    def __init__(self, path: Path, go_on: bool = False) -> None:
        """Create the file.

        Args:
            path: Where; an older file is replaced.
            go_on: Append to what an interrupted writer left there instead, less its torn last record.

        Raises:
            OutputError: If it cannot be written.
        """
        self.path = path
        self.messages = 0
        whole = _whole_records(path) if go_on else []
        try:
            self._file = path.open("r+b" if whole else "wb", buffering=0)
            if whole:
                self._file.truncate(whole[-1])
                self._file.seek(whole[-1])
            else:
                self._write(MAGIC)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        self.messages = len(whole)

    def add(self, message: Message) -> None:
        """Append a message.

        Raises:
            OutputError: If it cannot be written, e.g. because the disk is full; what came before is kept.
        """
        data = pack(message)
        try:
            self._write(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror}; the {self.messages} messages before it are kept there",
                "free some space or choose another place",
            ) from error
        self.messages += 1

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:  # a nearly full disk takes a part and complains about the rest
            left = left[self._file.write(left) :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: Path) -> Iterator[Message]:
    """Yield the messages of a journal, up to its end or to where its writer was cut off.

    Raises:
        SourceError: If the file cannot be read or is not a journal.
        WireError: If a whole record is not a message of this wire version.
    """
    for _, data in _records(path):
        yield unpack(data)


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (end offset, bytes) of every whole record."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise SourceError(f"{path} is not an interrupted recording of posestream")
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(head)
                data = file.read(length) if length <= path.stat().st_size else b""
                if len(data) < length:
                    return
                yield file.tell(), data
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _whole_records(path: Path) -> list[int]:
    """Return where each whole record of a journal ends; none if there is no journal."""
    try:
        return [end for end, _ in _records(path)]
    except SourceError:
        return []
