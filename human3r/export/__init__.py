"""Files for other tools: animated GLB, PLY, cameras, motion formats, viser recordings, and the manifest."""

from __future__ import annotations

from human3r.export.formats import DEFAULT_FORMATS, FORMATS, check_formats, export_file, write_all

__all__ = ["DEFAULT_FORMATS", "FORMATS", "check_formats", "export_file", "write_all"]
