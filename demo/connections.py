"""Bounds connections before they are requests: how long one is silent, how many an address has, how much it sends.

The web server waits forever for the first request of a connection and for the rest of its header, and for a peer that
does not read what was written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar, cast

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.jobs import Visitor
from demo.settings import Settings, is_within, networks_of

PATIENCE_S = 30.0
"""A connection without a whole request is closed after once to twice this time; so is one that is closing."""
MAX_MESSAGE_BYTES = 1_100_000
"""Of a socket: a picture of a camera and its header."""
_MAX_CONNECTIONS = 300
"""Of one address at a time; a proxy that names its visitors has no bound."""


def bound_connections(config: Config, settings: Settings) -> None:
    """Make a running server bound every further connection."""

    _Bounded.exempt = networks_of(settings.trusted_proxies)
    config.http_protocol_class = _Bounded
    config.ws_max_size = MAX_MESSAGE_BYTES


class _Bounded(H11Protocol):
    """An HTTP connection that ends when nothing comes of it."""

    exempt: ClassVar[list[IPv4Network | IPv6Network]] = []
    """Networks without a bound."""
    counts: ClassVar[Counter[str]] = Counter()
    """Open connections by address."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._last_cycle: Any = None
        self._timer = self.loop.call_later(PATIENCE_S, self._look)
        address = self.client[0] if self.client else ""
        self._key = None if is_within(address, self.exempt) else Visitor("", address).key
        if self._key is not None:
            self.counts[self._key] += 1
            if self.counts[self._key] > _MAX_CONNECTIONS:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._release()
        super().connection_lost(exc)

    def _release(self) -> None:
        if self._key is not None:
            self.counts.subtract([self._key])
            if not self.counts[self._key]:
                del self.counts[self._key]
            self._key = None

    def _look(self) -> None:
        if self.transport.get_protocol() is not self:  # a socket now, which is pinged
            self._release()
        elif self.transport.is_closing():
            self.transport.abort()
        else:
            cycle: Any = self.cycle  # None before the first request
            is_busy = cycle is not None and not cycle.response_complete
            if not is_busy and cycle is self._last_cycle:
                self.transport.close()
            self._last_cycle = cycle
            self._timer = self.loop.call_later(PATIENCE_S, self._look)
