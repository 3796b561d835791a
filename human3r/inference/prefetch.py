"""Run an iterator ahead in a thread, by a bounded number of items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def prefetch(
    source: Iterable[ItemT], function: Callable[[ItemT], ResultT], depth: int = 3
) -> Generator[ResultT, None, None]:
    """Yield ``function`` of every item of ``source``, in order; both run in a thread of their own.

    Closing the generator ends the thread; waiting results are dropped. The source must not block forever.

    Args:
        source: Consumed in the thread.
        function: Runs in the thread; its errors, and the source's, are raised at the consumer.
        depth: Results that may wait: the bound on memory.
    """
    items = iter(source)
    end = object()

    def produce() -> ResultT | object:
        item = next(items, end)
        return end if item is end else function(cast("ItemT", item))

    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        pending = deque(pool.submit(produce) for _ in range(depth + 1))
        while (result := pending.popleft().result()) is not end:
            pending.append(pool.submit(produce))
            yield cast("ResultT", result)
    finally:
        pool.shutdown(cancel_futures=True)
