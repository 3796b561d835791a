"""Worker process: reads tasks from standard input and writes entries to standard output, one JSON object per line.

It ends with its parent: a thread watches the end of the input.
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
    # Whatever libraries print goes to standard error.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    while True:
        print(json.dumps(run_task(json.loads(tasks.get()))), file=output, flush=True)


def _read(tasks: queue.SimpleQueue[str]) -> None:
    for text in sys.stdin:
        tasks.put(text)
    # Immediately, even in the middle of a clip: the next batch must not meet a second writer.
    os._exit(0)


if __name__ == "__main__":
    main()
