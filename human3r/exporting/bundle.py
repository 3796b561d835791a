"""Write several formats into a result folder with its manifest, or one format to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.assets.body_file import open_body
from human3r.errors import InputError
from human3r.exporting.formats import DEFAULT_FORMATS, EXPORT_FORMATS, VIEWER_FORMATS, check_formats, format_of
from human3r.exporting.manifest import write_manifest
from human3r.exporting.source import ExportSource, PeopleWear
from human3r.exporting.viewer.moments import MOMENTS_NAME, Moments, belongs_to
from human3r.surface.keyframes.collecting import KeyframeCollector
from human3r.surface.keyframes_file import KEYFRAMES_NAME, load_surface, save_keyframes
from human3r.temporary import reclaim
from human3r.threads import half_of_the_cores

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import LazySurface

Progress = Callable[[int, int, str], None]
"""Called as (formats done, formats in all, name of the next format or "" at the end)."""


@half_of_the_cores()
def write_all(
    reconstruction: Reconstruction,
    folder: str | Path,
    formats: str | Iterable[str] = DEFAULT_FORMATS,
    *,
    body: SmplxBody,
    clip: str | Path | None = None,
    moments: Moments | Path | None = None,
    keyframes: KeyframeCollector | LazySurface | Path | None = None,
    with_points: bool = False,
    people_wear: PeopleWear = "identity",
    progress: Progress | None = None,
    extends: bool = False,
) -> list[Path]:
    """Write the wanted formats into ``folder`` (made if necessary), then the manifest that lists them.

    Args:
        folder: Where to; existing files are replaced.
        formats: As ``check_formats`` accepts them.
        clip: The source clip; see ``ExportFormat.needs`` and ``ExportSource``.
        moments: Points of single frames, for ``html``: collected in the run, which are then kept as ``moments.bin``
            beside it, or the file of an earlier run.
        keyframes: What the scene's surface is built from: collected in the run, which are then kept as ``surface.npz``
            beside it, as are those of a surface, or the file of an earlier run. Without them the scene is its points.
        with_points: Show the points beside the surface.
        people_wear: Colors of people in the scene: of their identities, or of the clip where they were kept.
        progress: Called before every format and once at the end.
        extends: The folder already holds files of the same result, and its manifest keeps listing them.

    Returns:
        The files in writing order, the manifest last.

    Raises:
        InputError: A format is unknown, or needs the clip and none is given.
        DiskFullError: The disk is full; finished files stay, the unfinished one is absent.
    """
    folder = Path(folder)
    wanted = [each for each in EXPORT_FORMATS if each.name in check_formats(formats)]
    file = moments if isinstance(moments, Path) else None
    surface = _surface_of(keyframes, reconstruction)
    source = ExportSource(
        reconstruction,
        body,
        Path(clip) if clip is not None else None,
        _of_run(file, reconstruction),
        surface,
        with_points,
        people_wear,
        keeps_thumbnails=any(each.name in VIEWER_FORMATS for each in wanted),
    )
    for each in wanted:
        each.check(source)
    _make_folder(folder)
    written: list[Path] = []
    if not surface.is_empty and not isinstance(keyframes, Path):
        save_keyframes(folder / KEYFRAMES_NAME, surface.keyframes, reconstruction, surface.people_colors)
        written.append(folder / KEYFRAMES_NAME)
    for done, each in enumerate(wanted):
        if progress is not None:
            progress(done, len(wanted), each.name)
        if (
            each.name == "html"
            and isinstance(moments, Moments)
            and moments.write(folder / MOMENTS_NAME, reconstruction)
        ):
            written.append(folder / MOMENTS_NAME)
            source.moments = folder / MOMENTS_NAME
        written += each.write_into(source, folder)
    written.append(write_manifest(folder, written, extends=extends))
    if progress is not None:
        progress(len(wanted), len(wanted), "")
    return written


def load_matching_body(path: str | None, reconstruction: Reconstruction) -> SmplxBody:
    """Load the body that a result's parameters belong to.

    Raises:
        InputError: The result was made with another body.
    """
    body = open_body(path)
    made_with = reconstruction.meta.get("body")
    if isinstance(made_with, str) and made_with != body.name:
        raise InputError(
            f"The reconstruction was made with the body {made_with!r}, this is {body.name!r}.",
            "Give the same body file with --body, or leave it out for the embedded one.",
        )
    return body


@half_of_the_cores()
def export(
    reconstruction: Reconstruction,
    path: str | Path,
    *,
    body: SmplxBody | None = None,
    clip: str | Path | None = None,
    moments: Path | None = None,
    keyframes: LazySurface | Path | None = None,
    with_points: bool = False,
    people_wear: PeopleWear = "identity",
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Write one file in the format selected by its suffix, creating its folder if necessary.

    Args:
        path: The file, such as ``walk.glb``, ``walk_static.glb``, ``walk_bvh.zip`` or ``walk.bvh``.
        body: The body model that the parameters belong to; None is the embedded one.
        clip: The source clip; see ``ExportFormat.needs`` and ``ExportSource``.
        moments: ``moments.bin`` of the same run, for ``.html``; ignored where it is another run's.
        keyframes: ``surface.npz`` of the same run, or the surface; ignored where it is another run's.
        with_points: Show the points beside the surface.
        people_wear: Colors of people in the scene: of their identities, or of the clip where they were kept.
        progress: Follows formats that take long; see ``ExportSource``.

    Raises:
        InputError: No format has this ending, the format needs the clip and none is given, or the parameters belong to
            another body.
        DiskFullError: The disk is full; the file is absent.
    """
    path = Path(path)
    body = body or load_matching_body(None, reconstruction)
    source = ExportSource(
        reconstruction,
        body,
        Path(clip) if clip is not None else None,
        _of_run(moments, reconstruction),
        _surface_of(keyframes, reconstruction),
        with_points,
        people_wear,
        progress,
    )
    selected = format_of(path)
    selected.check(source)
    _make_folder(path.parent)
    selected.write_file(source, path)
    return path


def _surface_of(keyframes: KeyframeCollector | LazySurface | Path | None, result: Reconstruction) -> LazySurface:
    from human3r.surface.meshing.sheets import LazySurface

    if isinstance(keyframes, LazySurface):
        return keyframes
    if isinstance(keyframes, KeyframeCollector):
        return LazySurface(result, keyframes.finish(), keyframes.people_colors())
    return load_surface(keyframes, result)


def _of_run(moments: Path | None, reconstruction: Reconstruction) -> Path | None:
    """Return a ``moments.bin`` if it exists and belongs to this result rather than to another run."""
    return moments if moments is not None and moments.is_file() and belongs_to(moments, reconstruction) else None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be created ({error.strerror}).", "Choose another one.") from error
    reclaim(folder)
