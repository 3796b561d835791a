"""Run a batch on Ray, which schedules and retries. Only entries are returned; frames never pass its object store."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import asdict

from human3r.child_process import search_path
from human3r.commands.batch.local import bytes_per_worker
from human3r.commands.batch.tasks import ClipTask, Entry, run_task
from human3r.errors import ResourceError

_RETRIES = 3
"""Per clip, if its worker or node is lost."""


def run_on_ray(tasks: Sequence[ClipTask], address: str, num_workers: int) -> Generator[Entry, None, None]:
    """Run tasks and yield their entries as they end; closing the iterator cancels the rest.

    Args:
        tasks: Their paths must be valid on every node.
        address: Address of a cluster, or ``local`` for one on this machine that ends with the batch.
        num_workers: Clips in parallel, for ``local``.

    Raises:
        ResourceError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ResourceError("Ray is not installed.", "Run 'pip install human3r[ray]', or omit --ray.") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings = tasks[0].settings
    needs: dict[str, object] = {"num_cpus": 1, "num_gpus": int(settings.device.startswith("cuda"))}
    try:
        if address == "local":
            # The number of workers already accounts for memory.
            environment = {"env_vars": {"PYTHONPATH": search_path()}}
            ray.init(
                "local", num_cpus=num_workers, include_dashboard=False, log_to_driver=False, runtime_env=environment
            )
        else:
            needs["memory"] = bytes_per_worker(settings)
            ray.init(address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ResourceError(f"No Ray cluster can be reached at {address} ({error}).", "Check the address.") from error
    try:
        remote = ray.remote(max_retries=_RETRIES, **needs)
        run = remote(run_task)
        pending = {run.remote(asdict(task)): task for task in tasks}
        while pending:
            ready = ray.wait(list(pending), num_returns=1)[0][0]
            task = pending.pop(ready)
            try:
                yield ray.get(ready)
            except RayError as error:
                yield task.entry("failed", error=f"Ray failed to run it: {type(error).__name__}.")
    finally:
        ray.shutdown()
