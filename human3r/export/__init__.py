"""Files for other tools: animated GLB, PLY, cameras, motion formats, viser recordings, and the manifest."""

from __future__ import annotations

from human3r.export.archive import write_zip
from human3r.export.bundle import export_file, write_all
from human3r.export.formats import DEFAULT_FORMATS, EXPORT_FORMATS, FORMATS, ExportFormat, check_formats, format_of
from human3r.export.manifest import MANIFEST_NAME, write_manifest

__all__ = [
    "DEFAULT_FORMATS",
    "EXPORT_FORMATS",
    "FORMATS",
    "MANIFEST_NAME",
    "ExportFormat",
    "check_formats",
    "export_file",
    "format_of",
    "write_all",
    "write_manifest",
    "write_zip",
]
