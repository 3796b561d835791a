"""Hand items from one thread to the next without a queue: at most one waits."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Handover(Generic[ItemT]):
    """Holds one item. ``close`` ends both sides; an error given to it is raised at the receiver."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: ItemT | None = None
        self._is_closed = False
        self._is_aborted = False
        self._error: BaseException | None = None
        self.num_replaced = 0
        """Items that a newer one replaced."""

    def replace(self, item: ItemT) -> bool:
        """Replace the waiting item without blocking; False after ``close``."""
        with self._changed:
            if self._is_closed:
                return False
            self.num_replaced += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def give(self, item: ItemT) -> bool:
        """Put an item and wait until it is taken; False if it never will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._is_aborted)
            if self._is_aborted or self._is_closed:
                return False
            self._item = item
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._item is None or self._is_aborted)
            return not self._is_aborted

    def take(self) -> ItemT | None:
        """Wait for an item and return it; None after ``close``, once the last item was taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed)
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._error is not None:
                raise self._error
            return item

    def close(self, error: BaseException | None = None, *, abort: bool = False) -> None:
        """Release all waiting threads; ``abort`` also drops the waiting item."""
        with self._changed:
            self._is_closed, self._is_aborted = True, self._is_aborted or abort
            self._error = self._error or error
            if abort:
                self._item = None
            self._changed.notify_all()
