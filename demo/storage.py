"""Results on disk: one folder per run, addressed by a 128-bit token and removed after its time to live.

Knows nothing of the web or the model. The token is the only key to a result; tokens are never logged.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from human3r import temporary_folder

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    token: str
    """22 URL-safe characters, 128 random bits."""
    path: Path
    """Exists as long as the store lists the folder."""
    created_s: float
    """Clock of the store."""
    owner: str = field(repr=False, default="")
    """Session that created it; empty for the examples, which never expire."""
    visitor: str = field(repr=False, default="")
    """Whose results it counts to."""
    ttl_s: float | None = None
    """Time to live after the end of the run; None for the examples."""

    def keep_clip(self, clip: Path) -> Path:
        """Link the clip into the folder and return its path there: an upload may expire before its run ends.

        The copy is hidden from ``file``.
        """
        own = self.path / ".clip" / clip.name
        if not clip.is_file():
            return clip
        own.parent.mkdir(exist_ok=True)
        try:
            own.hardlink_to(clip)
        except OSError:  # another file system
            shutil.copyfile(clip, own)
        return own

    def file(self, name: str) -> Path | None:
        """Return the finished file of that name, or None: no subfolders, links or temporary names."""
        if not _FILE_NAME.fullmatch(name):
            return None
        path = self.path / name
        return path if path.is_file() and not path.is_symlink() else None

    def finished_files(self) -> list[Path]:
        """Return every file that ``file`` would return."""
        return [path for path in self.path.iterdir() if self.file(path.name)]


class ResultStore:
    """All run folders of a running demo. Leaving the context manager removes every file.

    Args:
        file_ttl_s: Time to live of a visitor's folder in seconds.
        max_results: Maximum number of visitors' results, see ``make_room``.
        clock: Seconds, monotonic; tests pass their own.
    """

    def __init__(self, file_ttl_s: float, max_results: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = file_ttl_s
        self._max_results = max_results
        self._clock = clock
        self._lock = threading.Lock()
        self._folders: dict[str, RunFolder] = {}
        self._in_use: Counter[str] = Counter()
        self._folder = ExitStack()
        self._root = self._folder.enter_context(temporary_folder())

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything."""
        with self._lock:
            self._folders.clear()
        self._folder.close()

    def open(self, owner: str, visitor: str = "") -> RunFolder:
        """Create an empty folder for a session of a visitor."""
        token = secrets.token_urlsafe(16)
        path = self._root / token
        path.mkdir(mode=0o700)
        created = RunFolder(token, path, self._clock(), owner, visitor or owner, self._ttl_s if owner else None)
        with self._lock:
            self._folders[token] = created
        return created

    def make_room(self) -> None:
        """Remove results while there are too many: the oldest of the visitor who has most."""
        with self._lock:
            kept = [item for item in self._folders.values() if item.owner and item.token not in self._in_use]
        kept.sort(key=lambda item: item.created_s)
        while len(kept) > self._max_results:
            counts = Counter(item.visitor for item in kept)
            surplus = next(item for item in kept if counts[item.visitor] == max(counts.values()))
            kept.remove(surplus)
            self.remove(surplus)

    @contextmanager
    def in_use(self, token: str, *, restart_ttl: bool = False) -> Iterator[None]:
        """Protect a folder from removal for the duration of a ``with`` block.

        Args:
            token: Token of the folder.
            restart_ttl: The time to live starts at the end of the block instead of at ``open``.
        """
        with self._lock:
            self._in_use[token] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use -= Counter((token,))  # which drops entries that reach 0
                if restart_ttl and token in self._folders:
                    self._folders[token] = replace(self._folders[token], created_s=self._clock())

    def get(self, token: str) -> RunFolder | None:
        """Return the folder of a token, or None when it never existed or has expired."""
        if not _TOKEN.fullmatch(token):
            return None
        with self._lock:
            found = self._folders.get(token)
        return None if found is None or self._has_expired(found) else found

    def remove(self, folder: RunFolder) -> None:
        """Forget a folder and delete its files, also those that were written since it was forgotten."""
        with self._lock:
            self._folders.pop(folder.token, None)
        shutil.rmtree(folder.path, ignore_errors=True)

    def sweep(self) -> int:
        """Remove every expired folder and return how many there were."""
        with self._lock:
            expired = [item for item in self._folders.values() if self._has_expired(item)]
        for folder in expired:
            self.remove(folder)
        return len(expired)

    def __len__(self) -> int:
        with self._lock:
            return len(self._folders)

    def _has_expired(self, item: RunFolder) -> bool:
        if not item.owner or item.token in self._in_use:
            return False
        return self._clock() - item.created_s > self._ttl_s


def sweep_empty_uploads(folder: Path, older_than_s: float) -> int:
    """Remove the empty files that Gradio's upload parser leaves, one per upload, and return how many there were."""
    num_removed = 0
    for path in folder.glob("tmp*"):
        with suppress(OSError):  # another process may have removed it
            status = path.lstat()
            if path.is_file() and status.st_size == 0 and time.time() - status.st_ctime > older_than_s:
                path.unlink()
                num_removed += 1
    return num_removed
