"""``manifest.json``: every file of a result folder with size and sha256, written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from human3r.atomic import write_text

MANIFEST_NAME = "manifest.json"
MANIFEST_SCHEMA = "human3r-manifest/1"
_CHUNK_BYTES = 1 << 20


def write_manifest(folder: Path, files: Iterable[Path], *, extends: bool = False) -> Path:
    """List ``files`` (all inside ``folder``) by relative name and return the manifest's path.

    Args:
        folder: The result folder.
        files: What was written.
        extends: Go on listing the other files of the manifest that is there.
    """
    manifest = folder / MANIFEST_NAME
    entries: dict[str, dict[str, object]] = {}
    if extends and manifest.is_file():
        entries = {entry["name"]: entry for entry in json.loads(manifest.read_text(encoding="utf-8"))["files"]}
    for path in files:
        name = path.relative_to(folder).as_posix()
        entries[name] = {"name": name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    document = {"schema": MANIFEST_SCHEMA, "files": [entries[name] for name in sorted(entries)]}
    write_text(manifest, json.dumps(document, indent=1) + "\n")
    return manifest


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's contents."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
