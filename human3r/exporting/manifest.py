"""``manifest.json``: every file of a result folder with size and sha256, written last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

from human3r.assets.registry import sha256_of
from human3r.atomic import write_text

MANIFEST_NAME = "manifest.json"
MANIFEST_SCHEMA = "human3r-manifest/1"
_MAX_BYTES = 4_000_000
"""Limit on the size of a manifest: about 20,000 files."""


def write_manifest(folder: Path, files: Iterable[Path], *, extends: bool = False) -> Path:
    """Write the manifest of ``files`` (all inside ``folder``) and return its path.

    Args:
        extends: Keep the other entries of an existing manifest.
    """
    manifest = folder / MANIFEST_NAME
    entries = _entries(folder) if extends else {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        entries[name] = {"name": name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    document = {"schema": MANIFEST_SCHEMA, "files": [entries[name] for name in sorted(entries)]}
    write_text(manifest, json.dumps(document, indent=1) + "\n")
    return manifest


def is_listed(path: Path) -> bool:
    """Return whether the manifest in the file's folder lists this file with its current contents."""
    entry = _entries(path.parent).get(path.name)
    return entry is not None and _listed_file(path.parent, path.name) and entry.get("sha256") == sha256_of(path)


def remove_listed(folder: Path, keep: Path) -> None:
    """Remove the files listed in the manifest of an earlier run, then the manifest itself.

    Args:
        folder: The result folder; files outside it, links and folders are kept.
        keep: A file or folder that is kept even if listed: the clip of the new run.
    """
    entries = _entries(folder)
    for name in entries:
        if _listed_file(folder, name) and not (folder / name).resolve().is_relative_to(keep.resolve()):
            (folder / name).unlink()
    if entries:
        (folder / MANIFEST_NAME).unlink()


def is_whole(folder: Path) -> bool:
    """Return whether a folder has a manifest and all listed files have the listed contents."""
    entries = _entries(folder)
    return bool(entries) and all(
        _listed_file(folder, name) and entry.get("sha256") == sha256_of(folder / name)
        for name, entry in entries.items()
    )


def manifest_entries(text: str | bytes) -> dict[str, dict[str, Any]]:
    """Return the entries of a manifest by name; none if it is not one of this program."""
    try:
        document = json.loads(text)
        entries = {entry["name"]: entry for entry in document["files"] if isinstance(entry["name"], str)}
        return entries if document["schema"] == MANIFEST_SCHEMA else {}
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of a folder's manifest by name; none if there is none."""
    try:
        with (folder / MANIFEST_NAME).open("rb") as stream:
            return manifest_entries(stream.read(_MAX_BYTES))
    except OSError:
        return {}


def _listed_file(folder: Path, name: str) -> bool:
    """Return whether a name in a manifest denotes a regular file inside the folder, without links or ``..``."""
    path = folder / name
    try:
        return not PurePath(name).is_absolute() and path.is_file() and path.resolve() == folder.resolve() / name
    except (OSError, ValueError):
        return False
