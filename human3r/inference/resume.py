"""Runs that survive their process: rows and snapshots in a folder, resumed from the last snapshot."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from human3r.errors import DiskFullError
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.recurrence import SessionSnapshot
from human3r.inference.snapshot import RunSnapshot, read_snapshot, write_snapshot
from human3r.inference.stream import ReconstructOptions
from human3r.results.store import ResultStore
from human3r.temporary import reclaim

RUN_FILES = ("snapshot.safetensors", "*.rows")
"""Files of an unfinished run."""


class ResumableRun:
    """One run in a folder of its own.

    Args:
        folder: Created if it is missing.
        clip: The run's clip.
        model: The run's model.
        options: The run's options.

    Raises:
        FormatError: There is a snapshot, and it is damaged.
        DiskFullError: The folder cannot be created.
    """

    def __init__(self, folder: Path, clip: Path, model: LoadedModel, options: ReconstructOptions) -> None:
        self._folder = folder
        self._with_depth, self._with_views = options.save_depth, model.profile.finishing.agreeing_views
        self._identity = _identity(clip, model, options)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            reclaim(folder)
        except OSError as error:
            raise DiskFullError(f"The folder {folder.name!r} cannot be created ({error.strerror}).") from error
        found = read_snapshot(folder, model.network.state_types)
        self._found = found if found is not None and found.identity == self._identity else None

    @property
    def session(self) -> SessionSnapshot | None:
        """The session to continue, or None for a run that begins."""
        return None if self._found is None else self._found.session

    def open_store(self) -> ResultStore:
        """Return the store as it was at the snapshot, or an empty one; files of another run are deleted."""
        if self._found is None:
            self.discard()
            self._folder.mkdir(exist_ok=True)
        store = ResultStore(self._folder, with_depth=self._with_depth, with_views=self._with_views)
        if self._found is not None:
            store.resume(self._found.store)
        return store

    def save(self, session: SessionSnapshot, store: ResultStore) -> None:
        """Write a snapshot: from here the run can be resumed.

        Raises:
            DiskFullError: No room; the previous snapshot remains valid.
        """
        write_snapshot(self._folder, RunSnapshot(self._identity, session, store.checkpoint()))

    def discard(self) -> None:
        """Remove the run's files from the folder, and the folder if nothing else is in it."""
        for pattern in RUN_FILES:
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()


def _identity(clip: Path, model: LoadedModel, options: ReconstructOptions) -> dict[str, object]:
    """Return what must be equal for a run to be resumed, as JSON values."""
    facts = clip.stat()
    identity = {
        "clip": [clip.name, facts.st_size, facts.st_mtime_ns],
        "model": model.sha256,
        "precision": model.precision,
        "body": model.body.name,
        "sampling": asdict(options.sampling),
        "use_ttt3r": options.use_ttt3r,
        "reset_interval": options.reset_interval,
        "finds_cuts": options.finds_cuts,
        "rotate": options.rotate,
        "save_depth": options.save_depth,
    }
    return json.loads(json.dumps(identity))
