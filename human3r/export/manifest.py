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


def write_manifest(folder: Path, files: Iterable[Path]) -> Path:
    """List ``files`` (all inside ``folder``) by relative name; return the manifest's path."""
    entries = [
        {"name": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(files)
    ]
    manifest = folder / MANIFEST_NAME
    write_text(manifest, json.dumps({"schema": MANIFEST_SCHEMA, "files": entries}, indent=1) + "\n")
    return manifest


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's contents."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
