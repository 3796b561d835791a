"""One clip of a batch: what it is, whether it is finished, and running it."""

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
from human3r.commands.batch.places import Place
from human3r.commands.run_settings import RunSettings, make_output_folder, reconstruct_into, summarize
from human3r.errors import Human3RError, InputError
from human3r.exporting import MANIFEST_NAME, write_manifest
from human3r.exporting.manifest import is_whole, manifest_entries
from human3r.inference.loaded_model import LoadedModel
from human3r.inference.loading import load_model

TASK_NAME = "task.json"
"""In the folder of a finished clip: what was run, and its summary. Listed in the manifest."""
_TASK_SCHEMA = "human3r-task/1"
_LOG = logging.getLogger(__name__)
Line = dict[str, Any]
"""What became of a clip, as a line of ``batch.json``: clip, output, state, and a summary or an error."""


@dataclass(frozen=True)
class ClipTask:
    """One clip, where its files go, and how it is run; plain values that cross process borders as JSON."""

    clip: str
    """Path or URL."""
    output: str
    """Path or URL of its folder."""
    settings: RunSettings

    @classmethod
    def of(cls, clip: Place, output: Place, settings: RunSettings) -> ClipTask:
        """Choose the folder: the clip's name and a hash of its address, for clips of one name in several folders."""
        stem = re.sub(r"[^\w.-]+", "_", Path(clip.path).stem)[:60]
        name = f"{stem}-{hashlib.sha256(clip.address.encode()).hexdigest()[:8]}"
        return cls(clip.address, output.child(name).address, settings)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClipTask:
        """Rebuild a task from ``asdict``."""
        return cls(values["clip"], values["output"], RunSettings(**values["settings"]))

    def line(self, state: str, **facts: object) -> Line:
        """Return the task's line."""
        return {"clip": self.clip, "output": self.output, "state": state, **facts}


def finished_line(task: ClipTask) -> Line | None:
    """Return the line of a clip that is finished: same clip and settings, and every file of its manifest whole.

    On this machine the contents are compared, elsewhere the sizes.
    """
    folder = Place.of(task.output)
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
        return task.line("done", **record["summary"]) if whole else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def run_task(values: dict[str, Any]) -> Line:
    """Run one clip, given as the ``asdict`` of a ``ClipTask``; what goes wrong with it becomes its line."""
    task, started = ClipTask.from_dict(values), time.perf_counter()
    try:
        return task.line("done", **_run(task, started))
    except Human3RError as error:
        return task.line("failed", error=str(error))
    except Exception as error:
        _LOG.debug("%s", task.clip, exc_info=True)
        return task.line("failed", error=f"internal error: {type(error).__name__}: {error}")


def _run(task: ClipTask, started: float) -> dict[str, object]:
    settings, clip, output = task.settings, Place.of(task.clip), Place.of(task.output)
    if not clip.files.exists(clip.path):
        raise InputError(f"There is no file {Path(clip.path).name!r}.", "Check the path.")
    # Before the run: a clip that is replaced meanwhile is run again next time.
    request = _request(task)
    model = _loaded(settings.model, settings.device, settings.precision, settings.body, settings.compile)
    with clip.fetched() as source, output.staged() as folder:
        make_output_folder(folder)
        done = reconstruct_into(
            folder,
            source,
            model,
            settings.run_options(),
            settings.wanted_formats(),
            with_points=settings.points,
            people_wear=settings.people_colors,
        )
        summary = summarize(done.result, model, time.perf_counter() - started)
        summary["files"] = [path.relative_to(folder).as_posix() for path in done.files[:-1]]
        record = folder / TASK_NAME
        write_text(record, json.dumps({"schema": _TASK_SCHEMA, "request": request, "summary": summary}) + "\n")
        # Last, and the only manifest that lists the record: without it the clip is not finished.
        manifest = write_manifest(folder, [record], extends=True)
        output.upload(folder, [*done.files[:-1], record, manifest])
    return summary


@lru_cache(maxsize=1)
def _loaded(name: str, device: str, precision: str, body: str | None, compiled: bool) -> LoadedModel:
    """Return the model, loaded once for all clips of this process."""
    return load_model(name, device, precision, body, compiled=compiled)


def _request(task: ClipTask) -> dict[str, object]:
    """Return what makes a result the one that is wanted: the clip's files as they are, and the settings."""
    place = Place.of(task.clip)
    found: dict[str, dict[str, Any]] = dict(place.files.find(place.path, detail=True))
    # Local files have a time, objects of a store a tag or a time under one of these names.
    parts = [
        (name[len(place.path) :], facts["size"], *(str(facts.get(key)) for key in ("mtime", "ETag", "LastModified")))
        for name, facts in sorted(found.items())
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return {"clip": task.clip, "sha256_of_listing": digest, "settings": json.loads(json.dumps(asdict(task.settings)))}
