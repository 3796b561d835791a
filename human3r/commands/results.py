"""``view`` and ``export``: show or convert a saved reconstruction."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from human3r.errors import InputError
from human3r.exporting.bundle import load_matching_body
from human3r.exporting.formats import SURFACE_FORMATS, format_of
from human3r.exporting.manifest import is_listed
from human3r.exporting.viewer.moments import MOMENTS_NAME, belongs_to
from human3r.results.reconstruction import Reconstruction
from human3r.surface.keyframes.from_clip import gather_again
from human3r.surface.keyframes_file import KEYFRAMES_NAME, load_surface
from human3r.surface.meshing.sheets import LazySurface

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody

_NPZ_NAME = "reconstruction.npz"


def _result_file(path: Path) -> Path:
    return path / _NPZ_NAME if path.is_dir() else path


def load_result(path: Path) -> Reconstruction:
    """Read a reconstruction from its npz or from the folder that holds it.

    Raises:
        InputError: There is no such file.
        FormatError: It is not a reconstruction.
    """
    file = _result_file(path)
    if not file.is_file():
        raise InputError(f"There is no file {str(file)!r}.", "Give a reconstruction.npz or the folder it is in.")
    return Reconstruction.load(file)


def file_beside(path: Path, name: str) -> Path | None:
    """Return another file of a result's run, if the manifest lists both with their current contents; else None."""
    result = _result_file(path)
    file = result.with_name(name)
    return file if is_listed(file) and is_listed(result) else None


def export(options: argparse.Namespace) -> int:
    """Run the command ``export``: one file, or with ``--formats`` several into a folder."""
    from human3r.exporting import check_formats, export, write_all

    formats = check_formats(options.formats) if options.formats else None
    result = load_result(options.path)
    wanted = formats or [format_of(options.output).name]
    body = load_matching_body(options.body, result)
    surface = _surface_for(wanted, options, result, body)
    is_alone = options.person is not None
    if is_alone:
        result = result.only(options.person)
        surface = LazySurface(result, people_colors=surface.people_colors)
    given: dict[str, Any] = {
        "body": body,
        "clip": options.clip,
        "moments": None if is_alone else file_beside(options.path, MOMENTS_NAME),
        "keyframes": surface,
        "with_points": options.points,
        "people_wear": options.people_colors,
    }
    if formats is None:
        with tqdm(unit="frame", file=sys.stderr, disable=wanted != ["fly_through"]) as bar:

            def follow(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            path = export(result, options.output, **given, progress=follow)
        print(path)
        return 0
    folder = options.path if options.path.is_dir() else options.path.parent
    extends = options.output.resolve() == folder.resolve()
    files = write_all(result, options.output, formats, **given, extends=extends)
    print("\n".join(str(path) for path in files))
    return 0


def _surface_for(
    wanted: Sequence[str], options: argparse.Namespace, result: Reconstruction, body: SmplxBody
) -> LazySurface:
    """Return the scene's surface and the colors of people: as its run kept them, or gathered from the clip again."""
    surface = load_surface(file_beside(options.path, KEYFRAMES_NAME), result)
    wears_clip = options.people_colors == "clip"
    lacks_colors = wears_clip and not surface.people_colors and len(result.person_frame) > 0
    lacks_scene = surface.is_empty and options.person is None
    if not SURFACE_FORMATS.intersection(wanted) or not (lacks_colors or lacks_scene):
        return surface
    if options.clip is None:
        remedy = "Give the source clip with --clip."
        if lacks_colors:
            raise InputError("The colors that the clip shows of people were not kept.", remedy)
        print(f"note: {KEYFRAMES_NAME} is not there, and the scene is exported as points. {remedy}", file=sys.stderr)
        return surface
    print("Reconstructing the scene from the clip again ...", file=sys.stderr)
    with tqdm(total=result.num_frames, unit="frame", file=sys.stderr) as bar:
        again = gather_again(
            result, options.clip, body if wears_clip else None, progress=lambda done, total: bar.update(done - bar.n)
        )
    return LazySurface(result, again.finish(), again.people_colors())


def view(options: argparse.Namespace) -> int:
    """Run the command ``view``: serve until interrupted."""
    from human3r.exporting.viewer.player_page import PlayerPage

    name = str(options.path)
    print(f"Reading {name!r} ...", file=sys.stderr, flush=True)
    result = load_result(options.path)
    print(f"Preparing {result.num_frames} frames ...", file=sys.stderr, flush=True)
    body = load_matching_body(options.body, result)
    moments = file_beside(options.path, MOMENTS_NAME)
    if moments is not None and not belongs_to(moments, result):
        moments = None
    surface = load_surface(file_beside(options.path, KEYFRAMES_NAME), result)
    with PlayerPage(result, body, port=options.port, moments=moments, surface=surface) as page:
        print(f"Showing {name!r} at {page.url}. Press Ctrl+C to stop.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0
