"""Temporary files and folders, which the next run removes if their process was killed.

A process holds a lock on each of its files, which the system releases when the process ends in any way. ``reclaim``
removes files without a lock. On systems without such locks nothing is reclaimed.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HIDDEN, _VISIBLE = ".human3r-", "human3r-tmp-"
"""Prefixes of the names."""


@contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Yield a new file beside ``target`` with its suffix, and remove it after the block, which may move it.

    Raises:
        OSError: It cannot be created.
    """

    def make() -> Path:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_HIDDEN, suffix=f"-{target.name}"[-100:])
        os.close(handle)
        return Path(name)

    with _locked(make) as path:
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path | None = None, *, is_hidden: bool = False) -> Iterator[Path]:
    """Yield a new folder, and remove it after the block, which may move it.

    Args:
        parent: Its parent; None is the system's temporary folder.
        is_hidden: Give it a hidden name, for a ``parent`` that users see.
    """
    prefix = _HIDDEN if is_hidden else _VISIBLE
    with _locked(lambda: Path(tempfile.mkdtemp(dir=parent, prefix=prefix))) as path:
        try:
            yield path
        finally:
            gone = path.with_name(f"{path.name}-gone")
            with suppress(FileNotFoundError):
                path.replace(gone)  # a thread that still writes to it fails instead of undoing the removal
            shutil.rmtree(gone, ignore_errors=True)


def reclaim(parent: Path | None = None) -> int:
    """Remove the files and folders left by killed processes of this user, and return their number.

    Args:
        parent: The folder; None is the system's temporary folder.
    """
    num_removed = 0
    with suppress(OSError):  # a missing or unreadable folder has nothing to reclaim
        for path in Path(parent or tempfile.gettempdir()).iterdir():
            if path.name.startswith((_HIDDEN, _VISIBLE)):
                with suppress(OSError):  # another process may have removed it
                    num_removed += _reclaimed(path)
    return num_removed


def _reclaimed(path: Path) -> bool:
    facts = path.lstat()
    is_folder = stat.S_ISDIR(facts.st_mode)
    if not (is_folder or stat.S_ISREG(facts.st_mode)) or facts.st_uid != _user():
        return False
    lock = _lock(path, wait=False)
    if lock is None:
        return False
    try:
        shutil.rmtree(path) if is_folder else path.unlink()
    finally:
        os.close(lock)
    return True


@contextmanager
def _locked(make: Callable[[], Path]) -> Iterator[Path]:
    """Create a file or folder and lock it."""
    while True:
        path = make()
        with suppress(FileNotFoundError):
            lock = _lock(path, wait=True)
            # Another process may have reclaimed it before it was locked.
            if lock is None or os.path.samestat(os.fstat(lock), path.lstat()):
                break
            os.close(lock)
    try:
        yield path
    finally:
        if lock is not None:
            os.close(lock)


def _lock(path: Path, *, wait: bool) -> int | None:
    """Return a descriptor that holds the lock; None if another process holds it or locks are not supported."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held, or a network file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
