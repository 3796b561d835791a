"""Results on disk: one folder per run, named by a 128-bit token, removed when its time is over.

Knows nothing of the web or of the model. A token is the only key to a result; tokens are never logged.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
MOMENTS_NAME = "moments.bin"
"""The points of single frames beside a result; the player fetches it under this name."""
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


@dataclass(frozen=True)
class Shelf:
    """The folder of one run."""

    token: str
    """22 URL-safe characters, 128 random bits."""
    folder: Path
    """Exists as long as the shelf is in the store."""
    created_s: float
    """Clock of the store."""
    owner: str = field(repr=False, default="")
    """Session that made it; empty for the examples, which never expire."""
    lives_s: float | None = None
    """How long it stays when its run has ended; None for the examples."""

    def keep(self, clip: Path) -> Path:
        """Return the clip's path in the shelf, out of reach of ``file``: an upload may expire before its run ends."""
        own = self.folder / ".clip" / clip.name
        if not clip.is_file():
            return clip
        own.parent.mkdir(exist_ok=True)
        try:
            own.hardlink_to(clip)
        except OSError:  # another disk
            shutil.copyfile(clip, own)
        return own

    def file(self, name: str) -> Path | None:
        """Return the finished file of that name, or None: no sub-folders, no links, no temporary names."""
        if not _FILE_NAME.fullmatch(name):
            return None
        path = self.folder / name
        return path if path.is_file() and not path.is_symlink() else None


class Store:
    """All shelves of a running demo. Use it as a context manager: leaving it removes every file.

    Args:
        file_ttl_s: Seconds that a visitor's shelf lives.
        max_results: Most shelves of visitors; the oldest goes first.
        clock: Seconds, monotonic; tests pass their own.
    """

    def __init__(self, file_ttl_s: float, max_results: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = file_ttl_s
        self._max_results = max_results
        self._clock = clock
        self._lock = threading.Lock()
        self._shelves: dict[str, Shelf] = {}
        self._in_use: Counter[str] = Counter()
        self._root = Path(tempfile.mkdtemp(prefix="human3r-demo-"))

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, owner: str) -> Shelf:
        """Make an empty shelf for a session; the oldest one leaves when there are too many."""
        token = secrets.token_urlsafe(16)
        folder = self._root / token
        folder.mkdir(mode=0o700)
        shelf = Shelf(token, folder, self._clock(), owner, self._ttl_s if owner else None)
        with self._lock:
            self._shelves[token] = shelf
            idle = (item for item in self._shelves.values() if item.owner and item.token not in self._in_use)
            visitors = sorted(idle, key=lambda item: item.created_s)
        for old in visitors[: max(0, len(visitors) - self._max_results)]:
            self.remove(old.token)
        return shelf

    @contextmanager
    def in_use(self, token: str, *, time_starts_after: bool = False) -> Iterator[None]:
        """Keep a shelf for the length of a ``with`` block, however long its run or its export takes.

        Args:
            token: Of the shelf.
            time_starts_after: Its time to live begins when the block ends, not when it was opened.
        """
        with self._lock:
            self._in_use[token] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use -= Counter((token,))  # which drops what has come to 0
                if time_starts_after and token in self._shelves:
                    self._shelves[token] = replace(self._shelves[token], created_s=self._clock())

    def get(self, token: str) -> Shelf | None:
        """Return the shelf of a token, or None when it never existed or is over."""
        if not _TOKEN.fullmatch(token):
            return None
        with self._lock:
            shelf = self._shelves.get(token)
        return None if shelf is None or self._is_over(shelf) else shelf

    def remove(self, token: str) -> None:
        """Forget a shelf and delete its folder."""
        with self._lock:
            shelf = self._shelves.pop(token, None)
        if shelf is not None:
            shutil.rmtree(shelf.folder, ignore_errors=True)

    def sweep(self) -> int:
        """Remove every shelf whose time is over, and return how many there were."""
        with self._lock:
            over = [shelf.token for shelf in self._shelves.values() if self._is_over(shelf)]
        for token in over:
            self.remove(token)
        return len(over)

    def close(self) -> None:
        """Remove everything."""
        with self._lock:
            self._shelves.clear()
        shutil.rmtree(self._root, ignore_errors=True)

    def __len__(self) -> int:
        with self._lock:
            return len(self._shelves)

    def _is_over(self, shelf: Shelf) -> bool:
        if not shelf.owner or shelf.token in self._in_use:
            return False
        return self._clock() - shelf.created_s > self._ttl_s


def sweep_empty_uploads(folder: Path, older_than_s: float) -> int:
    """Remove the empty files that Gradio's upload parser leaves, one per upload, and return how many there were."""
    num_removed = 0
    for path in folder.glob("tmp*"):
        with suppress(OSError):  # another process may have taken it
            facts = path.lstat()
            if path.is_file() and facts.st_size == 0 and time.time() - facts.st_ctime > older_than_s:
                path.unlink()
                num_removed += 1
    return num_removed
