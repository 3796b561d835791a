"""Runs that survive their process: rows and snapshots in a folder, taken up where the last snapshot was made."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from human3r.errors import DiskFullError
from human3r.inference.loading import LoadedModel
from human3r.inference.session import SessionSnapshot
from human3r.inference.snapshot import RunSnapshot, read_snapshot, write_snapshot
from human3r.inference.stream import RunOptions
from human3r.results.store import ResultStore, StoreOptions

LEFT_BEHIND = ("snapshot.safetensors", ".snapshot.safetensors.*", "*.rows")
"""Files of a run that is not over."""


class KeptRun:
    """One run in a folder of its own.

    Args:
        folder: Made if it is not there.
        clip: The run's clip.
        model: The run's model.
        options: The run's options.

    Raises:
        FormatError: There is a snapshot, and it is damaged.
        DiskFullError: The folder cannot be made.
    """

    def __init__(self, folder: Path, clip: Path, model: LoadedModel, options: RunOptions) -> None:
        self._folder = folder
        self._options = StoreOptions(with_depth=options.save_depth)
        self._identity = _identity(clip, model, options)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskFullError(f"The folder {folder.name!r} cannot be made ({error.strerror}).") from error
        found = read_snapshot(folder)
        self._found = found if found is not None and found.identity == self._identity else None

    @property
    def session(self) -> SessionSnapshot | None:
        """The session to go on from, or None for a run that begins."""
        return None if self._found is None else self._found.session

    @property
    def num_rejected(self) -> int:
        """Frames that were passed over before the snapshot."""
        return 0 if self._found is None else self._found.num_rejected

    def open_store(self) -> ResultStore:
        """Return the store as it was at the snapshot, or an empty one; what another run left is dropped."""
        if self._found is None:
            self.discard()
            self._folder.mkdir(exist_ok=True)
        store = ResultStore(self._options, self._folder)
        if self._found is not None:
            store.resume(self._found.store_arrays, self._found.store_facts)
        return store

    def keep(self, session: SessionSnapshot, num_rejected: int, store: ResultStore) -> None:
        """Write a snapshot: from here the run can be taken up.

        Raises:
            DiskFullError: No room; the previous snapshot still holds.
        """
        arrays, facts = store.checkpoint()
        write_snapshot(self._folder, RunSnapshot(self._identity, session, num_rejected, arrays, facts))

    def discard(self) -> None:
        """Remove what runs leave in the folder, and the folder if nothing else is in it."""
        for pattern in LEFT_BEHIND:
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()


def _identity(clip: Path, model: LoadedModel, options: RunOptions) -> dict[str, object]:
    """Return what must be the same for a run to go on, as JSON has it."""
    facts = clip.stat()
    identity = {
        "clip": [clip.name, facts.st_size, facts.st_mtime_ns],
        "model": model.sha256,
        "precision": model.precision,
        "body": model.body.name,
        "sampling": asdict(options.sampling),
        "use_ttt3r": options.use_ttt3r,
        "reset_interval": options.reset_interval,
        "save_depth": options.save_depth,
    }
    return json.loads(json.dumps(identity))
