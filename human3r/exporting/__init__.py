"""Files for other tools: animated GLB, PLY, cameras, motion formats, viser recordings, and the manifest."""

from __future__ import annotations

from human3r.exporting.bundle import export, write_all
from human3r.exporting.formats import (
    DEFAULT_FORMATS,
    EXPORT_FORMATS,
    FORMATS,
    ExportFormat,
    check_formats,
    format_of,
    write_zip,
)
from human3r.exporting.manifest import MANIFEST_NAME, write_manifest

__all__ = [
    "DEFAULT_FORMATS",
    "EXPORT_FORMATS",
    "FORMATS",
    "MANIFEST_NAME",
    "ExportFormat",
    "check_formats",
    "export",
    "format_of",
    "write_all",
    "write_manifest",
    "write_zip",
]
