"""Temporary files and folders that outlive their process by no more than one run.

The owner holds a lock on each as long as it exists, and the system gives the lock back however the owner ends. What
nobody locks any more is left over from a process that was killed: ``reclaim`` removes it. Where a system has no such
locks, nothing is reclaimed.
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
"""Beginnings of the names."""


@contextmanager
def temporary_file(target: Path) -> Iterator[Path]:
    """Give a new file beside ``target``, with its ending, for the length of a ``with`` block.

    The block may move it away.

    Raises:
        OSError: It cannot be made.
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
    """Give a new folder for the length of a ``with`` block, which may move it away.

    Args:
        parent: Where; None is where the system keeps temporary files.
        is_hidden: Give it a hidden name: ``parent`` is a folder that users look at.
    """
    prefix = _HIDDEN if is_hidden else _VISIBLE
    with _locked(lambda: Path(tempfile.mkdtemp(dir=parent, prefix=prefix))) as path:
        try:
            yield path
        finally:
            gone = path.with_name(f"{path.name}-gone")
            with suppress(FileNotFoundError):
                path.replace(gone)  # a thread that still writes there finds no folder instead of undoing the removal
            shutil.rmtree(gone, ignore_errors=True)


def reclaim(parent: Path | None = None) -> int:
    """Remove what killed processes of this user left in a folder, and return how many files and folders it was.

    Args:
        parent: The folder; None is where the system keeps temporary files.
    """
    num_removed = 0
    with suppress(OSError):  # a folder that is not there, or cannot be listed, has nothing to reclaim
        for path in Path(parent or tempfile.gettempdir()).iterdir():
            if path.name.startswith((_HIDDEN, _VISIBLE)):
                with suppress(OSError):  # somebody else may have been faster
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
    """Make something new and hold its lock."""
    while True:
        path = make()
        with suppress(FileNotFoundError):
            lock = _lock(path, wait=True)
            # Between making and locking it, somebody else may have taken it for a leftover.
            if lock is None or os.path.samestat(os.fstat(lock), path.lstat()):
                break
            os.close(lock)
    try:
        yield path
    finally:
        if lock is not None:
            os.close(lock)


def _lock(path: Path, *, wait: bool) -> int | None:
    """Return a descriptor that holds the lock, or None: somebody else holds it, or there are no locks here."""
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
