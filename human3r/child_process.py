"""Start a module of this package in a process of its own, and bound what such a process may use.

Files of unknown origin are opened there: one that crashes or floods its reader costs that process and nothing else.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
"""Working folder of a child: not the caller's, for ``python -m`` imports modules from there."""
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
_PASSED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


def search_path() -> str:
    """Return a ``PYTHONPATH`` with which a child finds this package, and what its owner finds."""
    return os.pathsep.join(filter(None, (str(PACKAGE_ROOT), os.environ.get("PYTHONPATH"))))


def child_environment() -> dict[str, str]:
    """Return the few variables that a child needs; tokens and passwords of the owner are not among them."""
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
        module: Its name.
        request: The line.
        keeps_input: Leave standard input open, for more.
    """
    process = subprocess.Popen(  # noqa: S603 - one of our own modules
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(),
        cwd=PACKAGE_ROOT,
        # Ctrl-C in a terminal reaches the whole process group; stopping is the owner's decision.
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
    """Let a whole small frame fit into the pipe: fewer process switches. Linux only, and only if allowed."""
    if sys.platform != "linux":
        return
    import fcntl

    with suppress(OSError):
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)


def restrict_process(bounds: Mapping[str, int]) -> None:
    """Bound this process where the system can.

    Args:
        bounds: Names of ``resource.RLIMIT_*`` without the prefix, and their values in bytes or seconds.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limits; the owner's time limit still holds there.
        return
    for name, bound in {"CORE": 0, **bounds}.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (bound, bound))


def is_readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until a child's pipe has bytes or has ended; False when neither happens in time."""
    if os.name == "nt":  # pipes cannot be selected on Windows; the read itself blocks there
        return True
    # poll, not select: a long-lived server has descriptors above 1024.
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poller.poll(timeout_s * 1000))
