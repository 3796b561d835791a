"""A stand-in for the package ``spaces`` where it lends GPUs, for tests.

As the real one does: a decorated generator runs in a forked process and in a thread there, arguments and values are
pickled, an error arrives as its class name only, and what has to be decorated is decorated before the page's launch.
"""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

WAS_BEFORE_TORCH = "torch" not in sys.modules
DECORATED: list[Callable] = []
ASKED_S: list[float] = []
_FORK = multiprocessing.get_context("fork")


def GPU(task: Callable | None = None, *, duration: Callable[..., float] | float = 60) -> Callable:
    if task is None:
        return lambda function: GPU(function, duration=duration)
    DECORATED.append(task)

    def lent(*args: object) -> Iterator[object]:
        ASKED_S.append(duration(*args) if callable(duration) else duration)
        results, should_stop = _FORK.SimpleQueue(), _FORK.Event()
        worker = _FORK.Process(target=_work, args=(task, pickle.dumps(args), results, should_stop), daemon=True)
        worker.start()
        try:
            while (answer := results.get())[0] == "value":
                yield pickle.loads(answer[1])
        finally:
            should_stop.set()
            while answer[0] == "value":
                answer = results.get()
            worker.join()
        if answer[0] == "error":
            raise RuntimeError(answer[1])

    return lent


def _work(task: Callable, args: bytes, results, should_stop) -> None:
    def iterate() -> None:
        generator = task(*pickle.loads(args))
        try:
            for value in generator:
                if should_stop.is_set():
                    generator.close()
                    break
                results.put(("value", pickle.dumps(value)))
        except Exception as error:
            results.put(("error", type(error).__name__))
        else:
            results.put(("end", None))

    with ThreadPoolExecutor(1) as executor:
        executor.submit(iterate).result()
