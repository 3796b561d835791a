"""Start a module of this package in a process of its own, and bound what such a process may use.

Files of unknown origin are opened there: one that crashes or floods its reader costs that process and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
"""Working folder of a child: not the caller's, for ``python -m`` imports modules from there."""
_PASSED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


def child_environment() -> dict[str, str]:
    """Return the few variables that a child needs; tokens and passwords of the owner are not among them."""
    return {
        **{name: value for name, value in os.environ.items() if name in _PASSED_ENVIRONMENT},
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")))),
        # A pool of BLAS threads would reserve most of the child's address space.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


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
