"""Atomic files: written under a temporary name, flushed, then renamed, so that they are complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from human3r.errors import DiskFullError, InputError
from human3r.temporary import temporary_file, temporary_folder


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix in the same folder, which becomes ``path`` if the block succeeds.

    Nothing is left if it fails.

    Raises:
        InputError: ``path`` is a folder, or may not be written.
        DiskFullError: The file cannot be written for another reason.
    """
    try:
        with temporary_file(path) as temporary:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except (PermissionError, IsADirectoryError) as error:
        raise InputError(f"Could not write {path.name}: {error.strerror}.", "Choose another place.") from error
    except OSError as error:
        message = f"Could not write {path.name}: {error.strerror or error}."
        raise DiskFullError(message, "Free some space or choose another folder.") from error


@contextmanager
def whole_or_absent_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, which replaces ``path`` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent, is_hidden=True) as partial:
        yield partial
        partial.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    with whole_or_absent(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` atomically."""
    write_bytes(path, text.encode())
