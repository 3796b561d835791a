"""Start a module of this package in a child process, read its output, and bound its resources.

Files of unknown origin are opened in a child: one that crashes or floods its reader costs only that process.
"""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
"""Working folder of a child: not the caller's, for ``python -m`` imports modules from there."""
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_PASSED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


def search_path() -> str:
    """Return a ``PYTHONPATH`` that gives a child this package and the search path of its parent."""
    return os.pathsep.join(filter(None, (str(PACKAGE_ROOT), os.environ.get("PYTHONPATH"))))


def child_environment() -> dict[str, str]:
    """Return the few variables that a child needs, without tokens and passwords of the parent."""
    return {
        **{name: value for name, value in os.environ.items() if name in _PASSED_ENVIRONMENT},
        "PYTHONPATH": search_path(),
        # A pool of BLAS threads would reserve most of the child's address space.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def start_child(module: str, request: Mapping[str, object], *, keeps_input: bool = False) -> subprocess.Popen[bytes]:
    """Start a module that reads one JSON line from standard input and writes to standard output.

    Args:
        request: The line.
        keeps_input: Leave standard input open for further requests.
    """
    process = subprocess.Popen(  # noqa: S603 - one of our own modules
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        cwd=PACKAGE_ROOT,
        # Ctrl-C in a terminal signals the whole process group; the parent decides when children end.
        start_new_session=True,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    _enlarge_pipe(process.stdout.fileno())
    try:
        process.stdin.write(json.dumps(dict(request)).encode() + b"\n")
        if not keeps_input:
            process.stdin.close()
    except BrokenPipeError:
        process.kill()
        process.wait()
    return process


def _enlarge_pipe(descriptor: int) -> None:
    """Make the pipe hold a small frame, which saves process switches; Linux only."""
    if sys.platform != "linux":
        return
    import fcntl

    with suppress(OSError):
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)


def restrict_process(bounds: Mapping[str, int]) -> None:
    """Bound the resources of this process, if the system supports it.

    Args:
        bounds: Names of ``resource.RLIMIT_*`` without the prefix, and their values in bytes or seconds.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's time limit still holds.
        return
    for name, bound in {"CORE": 0, **bounds}.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))


def read_exactly(process: subprocess.Popen[bytes], size: int, wait: Callable[[int], None]) -> bytearray:
    """Read ``size`` bytes of a child's standard output.

    Args:
        wait: Called with the descriptor before every read; raises if nothing arrives in time.

    Raises:
        EOFError: The child ended first.
        ValueError: The pipe was closed.
    """
    stream = cast("io.RawIOBase", process.stdout)
    received, filled = bytearray(size), 0
    view = memoryview(received)
    while filled < size:
        wait(stream.fileno())
        count = stream.readinto(view[filled:])
        if not count:
            raise EOFError
        filled += count
    return received


def end_child(process: subprocess.Popen[bytes]) -> None:
    """Kill a child that still runs, and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def is_readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until a child's pipe has bytes or has ended; False on timeout."""
    if os.name == "nt":  # pipes cannot be polled on Windows; the read itself blocks
        return True
    # poll, not select: a long-lived server has descriptors above 1024.
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poller.poll(timeout_s * 1000))
