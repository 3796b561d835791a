"""Run an iterator ahead in a thread, by a bounded number of items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
_POLL_S = 0.1


class Prefetcher(Generic[ItemT, ResultT]):
    """Apply ``function`` to the items of ``source`` in a thread and deliver the results in order.

    Args:
        source: Consumed in the thread.
        function: Runs in the thread; its errors, and the source's, are raised at the consumer.
        depth: Results that may wait: the bound on memory.
    """

    def __init__(self, source: Iterable[ItemT], function: Callable[[ItemT], ResultT], depth: int = 3) -> None:
        self._queue: queue.Queue[tuple[str, ResultT | BaseException | None]] = queue.Queue(maxsize=depth)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(source, function), name="prefetch", daemon=True)
        self._thread.start()

    def _work(self, source: Iterable[ItemT], function: Callable[[ItemT], ResultT]) -> None:
        try:
            for item in source:
                if not self._put(("item", function(item))):
                    return
        except BaseException as error:
            self._put(("error", error))
        else:
            self._put(("end", None))

    def _put(self, entry: tuple[str, ResultT | BaseException | None]) -> bool:
        while not self._is_closed.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[ResultT]:
        """Yield the results in order."""
        while True:
            kind, value = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]

    def close(self) -> None:
        """Stop the thread; results that still wait are dropped. The source must not block for ever."""
        self._is_closed.set()
        self._thread.join()

    def __enter__(self) -> Prefetcher[ItemT, ResultT]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
