"""The viser client as one page of ours, and the live viewers behind it.

A live viewer is a viser server that listens on loopback only; ``routes`` pipes the browser's socket to it, so that
the demo needs one port. This is the only module of the demo that knows viser's files.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from demo.page import messages

if TYPE_CHECKING:
    from human3r.records import FramePrediction


class LiveScene(Protocol):
    """A viser server that shows a run while it grows."""

    port: int
    """Loopback port it listens on."""

    def add(self, prediction: FramePrediction) -> None:
        """Show one more frame."""

    def close(self) -> None:
        """Stop the server and free its port."""


@lru_cache(maxsize=1)
def client_page() -> tuple[bytes, bytes]:
    """Return viser's client with the player in its head: (plain, gzipped) HTML."""
    import viser

    from human3r.export.viewer.player import player_head

    index = Path(viser.__file__).parent / "client" / "build" / "index.html"
    page = index.read_text(encoding="utf-8").replace("<title>Viser</title>", f"<title>{messages.TITLE}</title>", 1)
    page = page.replace("<head>", "<head>" + player_head(), 1)
    plain = page.encode()
    return plain, gzip.compress(plain, 6)


@dataclass(frozen=True)
class _Entry:
    scene: LiveScene
    owner: str
    opened_s: float


class LiveScenes:
    """The live viewers that are open, by token: at most one per session and ``max_live`` in all.

    Args:
        max_live: Most live viewers; the oldest closes first.
        ttl_s: Seconds after which a live viewer is closed.
        clock: Seconds, monotonic; tests pass their own.
    """

    def __init__(self, max_live: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_live = max_live
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def add(self, token: str, owner: str, scene: LiveScene) -> None:
        """Publish a scene under a token; closes the session's earlier one, and the oldest when there are too many."""
        self.close_owner(owner)
        with self._lock:
            self._entries[token] = _Entry(scene, owner, self._clock())
            by_age = sorted(self._entries, key=lambda key: self._entries[key].opened_s)
        for old in by_age[: max(0, len(by_age) - self._max_live)]:
            self.close(old)

    def port(self, token: str) -> int | None:
        """Return the loopback port behind a token, or None when it is closed or never was."""
        with self._lock:
            entry = self._entries.get(token)
        return entry.scene.port if entry else None

    def close(self, token: str) -> None:
        """Stop one live viewer; closing twice is harmless."""
        with self._lock:
            entry = self._entries.pop(token, None)
        if entry is not None:
            entry.scene.close()

    def close_owner(self, owner: str) -> None:
        """Stop the live viewers of a session."""
        with self._lock:
            mine = [token for token, entry in self._entries.items() if entry.owner == owner]
        for token in mine:
            self.close(token)

    def sweep(self) -> int:
        """Close those whose time is over, and return how many there were."""
        with self._lock:
            now = self._clock()
            over = [token for token, entry in self._entries.items() if now - entry.opened_s > self._ttl_s]
        for token in over:
            self.close(token)
        return len(over)

    def close_all(self) -> None:
        """Stop all of them."""
        with self._lock:
            tokens = list(self._entries)
        for token in tokens:
            self.close(token)
