"""All files of one reconstruction: which formats there are, and how they are written into a folder.

The command line and the web app call ``write_all`` and ``export_file``; every other module here writes one format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import InputError
from human3r.export.amass import write_amass
from human3r.export.bvh import write_bvh
from human3r.export.cameras import write_cameras_json, write_colmap, write_tum
from human3r.export.gltf.glb import write_glb
from human3r.export.gltf.static_glb import write_static_glb
from human3r.export.manifest import write_manifest
from human3r.export.ply import write_ply
from human3r.export.viewer.moments import MOMENTS_NAME, Moments

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction

Progress = Callable[[int, int, str], None]
"""Called as (formats done, formats in all, the format that comes next or "" at the end)."""


@dataclass(frozen=True)
class _Source:
    """What the writers draw from."""

    reconstruction: Reconstruction
    body: SmplxBody
    clip: Path | None
    moments: Moments | None = None


def _write_npz(source: _Source, folder: Path) -> list[Path]:
    path = folder / "reconstruction.npz"
    source.reconstruction.save(path)
    return [path]


def _write_both_glb(source: _Source, folder: Path) -> list[Path]:
    paths = [folder / "scene.glb", folder / "scene_static.glb"]
    write_glb(source.reconstruction, paths[0], source.body)
    write_static_glb(source.reconstruction, paths[1], source.body)
    return paths


def _write_viser(source: _Source, folder: Path) -> list[Path]:
    from human3r.export.viewer.recording import write_viser

    path = folder / "scene.viser"
    write_viser(source.reconstruction, path, source.body, clip=source.clip)
    return [path]


def _write_html(source: _Source, folder: Path) -> list[Path]:
    from human3r.export.viewer.recording import write_html

    path, moments = folder / "scene.html", folder / MOMENTS_NAME
    written = []
    if source.moments is not None and source.moments.write(moments, source.reconstruction):
        written = [moments]
    # The recording of a sibling format is the same scene: read it back instead of building it twice.
    recording = folder / "scene.viser"
    write_html(
        source.reconstruction,
        path,
        source.body,
        clip=source.clip,
        recording=recording,
        moments=moments if written else None,
    )
    return [*written, path]


def _write_ply_points(source: _Source, folder: Path) -> list[Path]:
    path = folder / "points.ply"
    write_ply(source.reconstruction, path)
    return [path]


def _write_overlay(source: _Source, folder: Path) -> list[Path]:
    from human3r.rendering.overlay_video import write_overlay_video

    path = folder / "overlay.mp4"
    write_overlay_video(source.reconstruction, path, source.body, _needed_clip(source))
    return [path]


def _write_json(source: _Source, folder: Path) -> list[Path]:
    path = folder / "cameras.json"
    write_cameras_json(source.reconstruction, path)
    return [path]


def _write_tum_file(source: _Source, folder: Path) -> list[Path]:
    path = folder / "cameras_tum.txt"
    write_tum(source.reconstruction, path)
    return [path]


_WRITERS: dict[str, Callable[[_Source, Path], list[Path]]] = {
    "npz": _write_npz,
    "glb": _write_both_glb,
    "json": _write_json,
    "ply": _write_ply_points,
    "mp4": _write_overlay,
    "viser": _write_viser,
    "html": _write_html,
    "amass": lambda source, folder: write_amass(source.reconstruction, folder, source.body),
    "bvh": lambda source, folder: write_bvh(source.reconstruction, folder, source.body),
    "tum": _write_tum_file,
    "colmap": lambda source, folder: write_colmap(source.reconstruction, folder / "colmap"),
}
FORMATS: tuple[str, ...] = tuple(_WRITERS)
"""Every format, in the order in which they are written."""
DEFAULT_FORMATS: tuple[str, ...] = ("npz", "glb", "json", "ply", "mp4", "viser", "html")
"""What ``reconstruct`` writes when nobody says otherwise."""


def _needed_clip(source: _Source) -> Path:
    if source.clip is None:
        raise InputError("The overlay video needs the clip it is drawn on.", "Give the clip, or leave out mp4.")
    return source.clip


def check_formats(formats: Iterable[str]) -> list[str]:
    """Return the formats in writing order, without repetitions.

    Raises:
        InputError: One of them does not exist.
    """
    wanted = list(formats)
    unknown = sorted(set(wanted) - set(FORMATS))
    if unknown:
        raise InputError(f"Unknown format {', '.join(unknown)}.", f"Choose from {', '.join(FORMATS)}.")
    return [name for name in FORMATS if name in wanted]


def write_all(
    reconstruction: Reconstruction,
    folder: str | Path,
    formats: Iterable[str] = DEFAULT_FORMATS,
    *,
    body: SmplxBody,
    clip: str | Path | None = None,
    moments: Moments | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the wanted formats into ``folder`` (made if need be), then the manifest that lists them.

    Args:
        reconstruction: What to write.
        folder: Where to; files of these names are replaced.
        formats: Names from ``FORMATS``.
        body: The body model that the parameters are for.
        clip: The source clip; ``mp4`` needs it, ``viser`` and ``html`` take thumbnails from it where given.
        moments: The points of single frames, which ``html`` shows, too, and keeps beside it as ``moments.bin``.
        progress: Told before every format and once at the end.

    Returns:
        The files in writing order, the manifest last.

    Raises:
        InputError: A format is unknown, or ``mp4`` is asked for without a clip.
        DiskFullError: The disk is full; finished files stay, the one in work is absent.
    """
    folder = Path(folder)
    names = check_formats(formats)
    source = _Source(reconstruction, body, Path(clip) if clip is not None else None, moments)
    if "mp4" in names:
        _needed_clip(source)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for done, name in enumerate(names):
        if progress is not None:
            progress(done, len(names), name)
        written += _WRITERS[name](source, folder)
    written.append(write_manifest(folder, written))
    if progress is not None:
        progress(len(names), len(names), "")
    return written


def export_file(
    reconstruction: Reconstruction,
    path: str | Path,
    *,
    body: SmplxBody,
    clip: str | Path | None = None,
    moments: Path | None = None,
) -> Path:
    """Write one file in the format that its ending names: npz, glb, ply, json, mp4, viser, html or txt (TUM).

    Args:
        reconstruction: What to write.
        path: The file.
        body: The body model that the parameters are for.
        clip: The source clip; ``.mp4`` needs it.
        moments: A ``moments.bin`` of the same result, for ``.html``; used if it is there.

    Raises:
        InputError: The ending is not one of these, the folder is missing, or ``.mp4`` is asked for without a clip.
        DiskFullError: The disk is full; nothing half-written is left.
    """
    path = Path(path)
    source = _Source(reconstruction, body, Path(clip) if clip is not None else None)
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent.name} does not exist.", "Make it first.")
    ending = path.suffix.lower()
    if ending == ".npz":
        reconstruction.save(path)
    elif ending == ".glb":
        write = write_static_glb if path.stem.endswith("_static") else write_glb
        write(reconstruction, path, body)
    elif ending == ".ply":
        write_ply(reconstruction, path)
    elif ending == ".json":
        write_cameras_json(reconstruction, path)
    elif ending == ".txt":
        write_tum(reconstruction, path)
    elif ending == ".mp4":
        from human3r.rendering.overlay_video import write_overlay_video

        write_overlay_video(reconstruction, path, body, _needed_clip(source))
    elif ending == ".viser":
        from human3r.export.viewer.recording import write_viser

        write_viser(reconstruction, path, body, clip=source.clip)
    elif ending == ".html":
        from human3r.export.viewer.recording import write_html

        write_html(reconstruction, path, body, clip=source.clip, moments=moments)
    else:
        known = ".npz, .glb, .ply, .json, .mp4, .viser, .html or .txt"
        raise InputError(f"No format has the ending {ending or 'of ' + path.name!r}.", f"Use {known}.")
    return path
