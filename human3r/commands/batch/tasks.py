"""One clip of a batch: its description, whether it is finished, and running it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from human3r.atomic import write_text
from human3r.commands.batch.locations import Location
from human3r.commands.run_settings import RunSettings, make_output_folder, reconstruct_into, summarize
from human3r.errors import Human3RError, InputError
from human3r.exporting import MANIFEST_NAME, write_manifest
from human3r.exporting.manifest import is_whole, manifest_entries

TASK_NAME = "task.json"
"""File in the folder of a finished clip with its request and summary; listed in the manifest."""
_TASK_SCHEMA = "human3r-task/1"
_LOG = logging.getLogger(__name__)
Entry = dict[str, Any]
"""A clip in ``batch.json``: clip, output, state (done, failed, waiting), and a summary or an error."""
_loaded = lru_cache(maxsize=1)(RunSettings.load_model)
"""Once per process: all clips of a batch have the same settings."""


@dataclass(frozen=True)
class ClipTask:
    """A clip, the folder of its files, and its settings; plain values that are sent to workers as JSON."""

    clip: str
    """Path or URL."""
    output: str
    """Path or URL of the folder."""
    settings: RunSettings

    @classmethod
    def of(cls, clip: Location, output: Location, settings: RunSettings) -> ClipTask:
        """Name the folder after the clip and a hash of its address, since names may repeat across folders."""
        stem = re.sub(r"[^\w.-]+", "_", Path(clip.path).stem)[:60]
        name = f"{stem}-{hashlib.sha256(clip.address.encode()).hexdigest()[:8]}"
        return cls(clip.address, output.child(name).address, settings)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClipTask:
        """Restore a task from ``asdict``."""
        return cls(values["clip"], values["output"], RunSettings.from_values(values["settings"]))

    def entry(self, state: str, **facts: object) -> Entry:
        """Return the entry of this clip."""
        return {"clip": self.clip, "output": self.output, "state": state, **facts}


def finished_entry(task: ClipTask) -> Entry | None:
    """Return the entry of a finished clip: same clip and settings, and every file as listed in the manifest; else None.

    Local files are compared by contents, remote ones by size.
    """
    folder = Location.of(task.output)
    try:
        record = json.loads(folder.child(TASK_NAME).read())
        entries = manifest_entries(folder.child(MANIFEST_NAME).read())
        if TASK_NAME not in entries or record["request"] != _request(task):
            return None
        if folder.is_local:
            whole = is_whole(Path(folder.path))
        else:
            sizes = {name: folder.files.size(folder.child(name).path) for name in entries}
            whole = all(entry.get("bytes") == sizes[name] for name, entry in entries.items())
        return task.entry("done", **record["summary"]) if whole else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def run_task(values: dict[str, Any]) -> Entry:
    """Run one clip, given as the ``asdict`` of a ``ClipTask``; errors are returned in its entry."""
    task, started = ClipTask.from_dict(values), time.perf_counter()
    try:
        return task.entry("done", **_run(task, started))
    except Human3RError as error:
        return task.entry("failed", error=str(error))
    except Exception as error:
        _LOG.debug("%s", task.clip, exc_info=True)
        return task.entry("failed", error=f"internal error: {type(error).__name__}: {error}")


def _run(task: ClipTask, started: float) -> dict[str, object]:
    settings, clip, output = task.settings, Location.of(task.clip), Location.of(task.output)
    if not clip.files.exists(clip.path):
        raise InputError(f"There is no file {Path(clip.path).name!r}.", "Check the path.")
    # Taken before the run: a clip that changes during the run is run again next time.
    request = _request(task)
    model = _loaded(settings)
    with clip.fetched() as source, output.staged() as folder:
        make_output_folder(folder)
        done = reconstruct_into(folder, source, model, settings)
        summary = summarize(done.result, model, time.perf_counter() - started)
        summary["files"] = [path.relative_to(folder).as_posix() for path in done.files[:-1]]
        record = folder / TASK_NAME
        write_text(record, json.dumps({"schema": _TASK_SCHEMA, "request": request, "summary": summary}) + "\n")
        # Written last: only a clip whose manifest lists the record is finished.
        manifest = write_manifest(folder, [record], extends=True)
        output.upload(folder, [*done.files[:-1], record, manifest])
    return summary


def _request(task: ClipTask) -> dict[str, object]:
    """Return what identifies a result: the current state of the clip's files, and the settings."""
    location = Location.of(task.clip)
    found: dict[str, dict[str, Any]] = dict(location.files.find(location.path, detail=True))
    # The version of a file: local files have mtime, object stores ETag or LastModified.
    parts = [
        (name[len(location.path) :], facts["size"], *(str(facts.get(key)) for key in ("mtime", "ETag", "LastModified")))
        for name, facts in sorted(found.items())
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return {"clip": task.clip, "sha256_of_listing": digest, "settings": json.loads(json.dumps(asdict(task.settings)))}
