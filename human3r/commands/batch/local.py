"""Run a batch on this machine, in as many worker processes as cores and memory allow."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from human3r.assets.registry import ASSETS, find_weights
from human3r.child_process import search_path
from human3r.commands.batch.tasks import ClipTask, Entry
from human3r.commands.run_settings import RunSettings
from human3r.memory import available_bytes

_BASE_BYTES = 1_500_000_000
"""Memory of a worker apart from larger weights. With ``compact`` and two seconds of each of eleven clips the largest
resident size was 0.85 GB; longer clips and ``scene.html`` take more."""
_BYTES_PER_WEIGHT_BYTE = 2
"""The weights as read, and their prepacked copy."""


def bytes_per_worker(settings: RunSettings) -> int:
    """Return an upper estimate of a worker's memory."""
    weights = find_weights(settings.model) if settings.model in ASSETS else Path(settings.model)
    size = weights.stat().st_size if weights is not None and weights.is_file() else 0
    return _BASE_BYTES + _BYTES_PER_WEIGHT_BYTE * size


def fitting_workers(settings: RunSettings) -> int:
    """Return the number of clips to run in parallel: one per GPU, else as many as cores and free memory allow."""
    if settings.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.device_count()
    free = available_bytes()
    by_memory = num_cores() if free is None else free // bytes_per_worker(settings)
    return max(1, min(num_cores(), by_memory))


def num_cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_locally(tasks: Sequence[ClipTask], num_workers: int) -> Generator[Entry, None, None]:
    """Run tasks and yield their entries as they end; closing the iterator ends the workers."""
    waiting: queue.SimpleQueue[ClipTask] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    entries: queue.SimpleQueue[Entry] = queue.SimpleQueue()
    workers = [_Worker(index, num_workers) for index in range(min(num_workers, len(tasks)))]
    threads = [threading.Thread(target=worker.run_all, args=(waiting, entries), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            yield entries.get()
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """One worker process, restarted after a clip that ended it.

    Args:
        index: Selects the GPU.
        num_workers: Workers that share the cores.
    """

    def __init__(self, index: int, num_workers: int) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": search_path(),
            "OMP_NUM_THREADS": str(max(1, num_cores() // num_workers)),
        }
        if "CUDA_VISIBLE_DEVICES" not in os.environ and torch.cuda.is_available():
            self._environment["CUDA_VISIBLE_DEVICES"] = str(index % torch.cuda.device_count())
        self._process: subprocess.Popen[str] | None = None
        self._is_closed, self._lock = False, threading.Lock()

    def run_all(self, waiting: queue.SimpleQueue[ClipTask], entries: queue.SimpleQueue[Entry]) -> None:
        """Run tasks until none is waiting."""
        while not self._is_closed:
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return self.close()
            entries.put(self._run(task))

    def _run(self, task: ClipTask) -> Entry:
        process = self._started()
        if process is None:
            return task.entry("waiting")
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(task)) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):
            process.kill()
            return task.entry("failed", error=_describe_end(process.wait()))

    def _started(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._is_closed:
                return None
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "human3r.commands.batch.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if os.environ.get("HUMAN3R_DEBUG") else subprocess.DEVNULL,
                    env=self._environment,
                    text=True,
                    # Ctrl-C in a terminal signals the whole process group; the parent decides when workers end.
                    start_new_session=True,
                )
            return self._process

    def close(self) -> None:
        """Kill the process, even in the middle of a clip."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()


def _describe_end(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The process was killed, probably because memory ran out. Use fewer workers."
    return f"The process ended with code {code} (-N is signal N). Run this clip alone to see why."
