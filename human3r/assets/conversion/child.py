"""Runs a conversion in a process of its own and brings back its answer or its error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

from human3r.child_process import PACKAGE_ROOT, child_environment
from human3r.errors import CheckpointError, error_from

Kind = Literal["checkpoint", "body"]


def convert_in_child(kind: Kind, source: Path, target: Path) -> str:
    """Convert a file of unknown origin into one of ours, whole or not at all, and return the worker's answer.

    Raises:
        Human3RError: What the worker raised, as its own class.
        CheckpointError: The worker itself ended early.
    """
    request = {"kind": kind, "source": str(source.absolute()), "target": str(target.absolute())}
    process = subprocess.run(
        [sys.executable, "-m", "human3r.assets.conversion.worker"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=child_environment(),
        cwd=PACKAGE_ROOT,
        check=False,
    )
    try:
        answer = json.loads(process.stdout)
    except json.JSONDecodeError:
        # A process that was killed could not clean up behind itself.
        for leftover in target.absolute().parent.glob(f".{target.stem}.*{target.suffix}"):
            leftover.unlink(missing_ok=True)
        raise CheckpointError(f"The process that converted {source.name} ended with {process.returncode}.") from None
    if "error" in answer:
        raise error_from(answer["error"], answer["message"], answer["remedy"])
    return answer["result"]
