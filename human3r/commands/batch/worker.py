"""A process that runs one clip after the other: a task per line on standard input, its line on standard output.

It ends when its owner does, whatever ends that: the input is watched in a thread of its own.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading

from human3r.commands.batch.tasks import run_task


def main() -> None:
    """Run tasks until the input ends."""
    # Libraries may print; only lines of clips go to the owner.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    while True:
        line = run_task(json.loads(tasks.get()))
        print(json.dumps(line), file=output, flush=True)


def _read(tasks: queue.SimpleQueue[str]) -> None:
    for text in sys.stdin:
        tasks.put(text)
    # At once, in the middle of a clip: the next run of the batch must not meet a second writer.
    os._exit(0)


if __name__ == "__main__":
    main()
