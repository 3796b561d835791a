"""The table of export formats: a new format is one more entry of ``EXPORT_FORMATS``.

``reconstruct``, ``export``, the page and the manifest iterate over it; ``bundle`` writes files and folders with it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from human3r.atomic import whole_or_absent, write_bytes
from human3r.errors import InputError, ResourceError
from human3r.exporting.amass import write_amass
from human3r.exporting.bvh import write_bvh
from human3r.exporting.cameras import write_cameras_json, write_colmap, write_tum
from human3r.exporting.gltf.glb import write_glb
from human3r.exporting.gltf.static_glb import write_static_glb
from human3r.exporting.obj import write_obj
from human3r.exporting.scene_points import write_ply
from human3r.exporting.source import ExportSource
from human3r.exporting.usd.usdz import write_usdz
from human3r.temporary import temporary_folder

if TYPE_CHECKING:
    from human3r.bodies import SmplxBody
    from human3r.results.reconstruction import Reconstruction
    from human3r.surface.meshing.sheets import Sheet


_COMPRESSED = (".npz", ".mp4", ".viser", ".zip", ".bin")
"""Suffixes of files that are already compressed and only stored."""


@dataclass(frozen=True)
class ExportFormat:
    """One format."""

    name: str
    """As in ``--formats``."""
    file: str
    """Name in a result folder; of several files, the name of their archive."""
    description: str
    """Contents and purpose."""
    write: Callable[[ExportSource, Path], object]
    """Writes the file, or several files into a folder."""
    is_default: bool = False
    """Whether ``reconstruct`` writes it by default."""
    needs: Literal["", "clip"] = ""
    """Required input besides the reconstruction and its body."""
    extra: tuple[str, str] | None = None
    """Module of an optional package that it requires, and the extra of human3r that installs it."""
    folder: str | None = None
    """Of a format of several files: the subfolder of a result folder; None for a format of one file."""
    endings: tuple[str, ...] = ()
    """Suffixes that select the format; by default that of ``file``."""
    main: str = ""
    """Suffix of the main file among several that belong together; the others are written beside it."""

    @property
    def is_installed(self) -> bool:
        """Whether the optional package that it requires is installed."""
        return self.extra is None or find_spec(self.extra[0]) is not None

    def write_into(self, source: ExportSource, folder: Path) -> list[Path]:
        """Write the format into a result folder under its usual names and return the files."""
        if self.folder is None:
            self.write_file(source, folder / self.file)
            return [folder / self.file]
        with temporary_folder(folder, is_hidden=True) as made:
            self.write(source, made)
            target = folder / self.folder
            target.mkdir(exist_ok=True)
            return [path.replace(target / path.name) for path in sorted(made.iterdir())]

    def write_file(self, source: ExportSource, path: Path) -> None:
        """Write the format as one file; several files are packed if ``path`` is a zip. Atomic.

        Raises:
            InputError: A required input is missing, or the format has several files and ``path`` is not a zip.
        """
        self.check(source)
        if self.folder is None:
            self.write(source, path)
            return
        with temporary_folder() as made:
            self.write(source, made)
            files = list(made.iterdir())
            if path.suffix.lower() == ".zip":
                write_zip(path, files, made)
            elif path.suffix.lower() == self.main:
                for file in files:
                    write_bytes(path if file.suffix == self.main else path.with_name(file.name), file.read_bytes())
            else:
                people = [file for file in files if file.suffix == path.suffix.lower()]
                if len(people) != 1:
                    message = f"A {path.suffix} file holds one person, and the reconstruction has {len(people)}."
                    raise InputError(message, f"Write {path.stem}_{self.file} instead.")
                for file in files:
                    write_bytes(path.with_name(path.stem + file.name.removeprefix(people[0].stem)), file.read_bytes())

    def check(self, source: ExportSource) -> None:
        """Raise ``InputError`` if a required input is missing."""
        if self.needs == "clip" and source.clip is None:
            raise InputError(f"The format {self.name} needs the source clip.", f"Give the clip, or omit {self.name}.")
        self.check_installed()

    def check_installed(self) -> None:
        """Raise ``ResourceError`` if the required optional package is missing."""
        if self.extra is not None and not self.is_installed:
            module, extra = self.extra
            message = f"The format {self.name} needs the Python module {module}, which is not installed."
            raise ResourceError(message, f"Run 'pip install human3r[{extra}]', or omit {self.name}.")


def write_zip(path: Path, files: Iterable[Path], root: Path) -> None:
    """Pack files under their names relative to ``root``; atomic."""
    with whole_or_absent(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in sorted(files):
            method = zipfile.ZIP_STORED if file.suffix in _COMPRESSED else zipfile.ZIP_DEFLATED
            archive.write(file, file.relative_to(root).as_posix(), compress_type=method, compresslevel=1)


def _write_overlay(source: ExportSource, path: Path) -> None:
    from human3r.rendering import overlay_video

    writers = {
        ".mp4": overlay_video.write_overlay_video,
        ".gif": overlay_video.write_overlay_gif,
        ".png": overlay_video.write_overlay_still,
    }
    writers[path.suffix.lower()](source.reconstruction, path, source.body, source.clip_frames())


def _arrays(write: Callable[[Reconstruction, Path], object]) -> Callable[[ExportSource, Path], object]:
    """Adapt a writer of arrays."""
    return lambda source, path: write(source.reconstruction, path)


def _bodies(write: Callable[[Reconstruction, Path, SmplxBody], object]) -> Callable[[ExportSource, Path], object]:
    """Adapt a writer that poses bodies."""
    return lambda source, path: write(source.reconstruction, path, source.body)


def _surfaces(
    write: Callable[[Reconstruction, Path, SmplxBody, list[Sheet]], object],
) -> Callable[[ExportSource, Path], object]:
    """Adapt a writer of bodies and the scene's surface."""
    return lambda source, path: write(source.reconstruction, path, source.body, source.sheets)


def _scene(write: Callable[..., object]) -> Callable[[ExportSource, Path], object]:
    """Adapt a writer of bodies and the scene."""
    return lambda source, path: write(
        source.reconstruction, path, source.body, source.sheets, with_points=source.with_points
    )


def _write_glb(source: ExportSource, path: Path) -> None:
    write_glb(
        source.reconstruction,
        path,
        source.body,
        source.sheets,
        with_points=source.with_points,
        people_colors=source.worn_colors,
    )


def _imported(module: str, name: str) -> Callable[[ExportSource, Path], object]:
    """Return a writer whose module is imported when it is used."""
    return lambda source, path: getattr(import_module(f"human3r.exporting.{module}"), name)(source, path)


def _write_npz(source: ExportSource, path: Path) -> None:
    source.reconstruction.save(path)


_DEFAULT = True
_NPZ = "everything as arrays: SMPL-X parameters, cameras, points"
_GLB = "animated people, camera and scene: Blender, three.js, model viewers"
_STILL = "the scene as a still, for viewers without animation"
_VISER = "a recording for any viser 1.1 client; one shape per person"
_HTML = "the 4D viewer as one file that opens without a network"
_AMASS = "one SMPL-X motion per person with AMASS's field names"
_BVH = "one skeleton animation per person, for tools that only read BVH (centimeters)"
_OBJ = "the scene and its people as a still, with textures; opens in every 3D program"
_USDZ = "animated people, camera and surface: AR on iPhones, Blender, Omniverse"
_RRD = "for the rerun viewer, with the clip's pictures where the clip is given"
_COLMAP = "cameras and points as a COLMAP text model"
EXPORT_FORMATS: tuple[ExportFormat, ...] = (
    ExportFormat("npz", "reconstruction.npz", _NPZ, _write_npz, _DEFAULT),
    ExportFormat("glb", "scene.glb", _GLB, _write_glb, _DEFAULT),
    ExportFormat(
        "static_glb", "scene_static.glb", _STILL, _scene(write_static_glb), _DEFAULT, endings=("_static.glb",)
    ),
    ExportFormat("json", "cameras.json", "path and intrinsics of every frame", _arrays(write_cameras_json), _DEFAULT),
    ExportFormat("ply", "points.ply", "the scene points without people", _arrays(write_ply), _DEFAULT),
    ExportFormat("mp4", "overlay.mp4", "the clip with its people drawn in", _write_overlay, _DEFAULT, "clip"),
    ExportFormat(
        "fly_through",
        "scene_flythrough.mp4",
        "ten seconds of the scene and its people from a camera that swings around them",
        _imported("fly_through", "write_fly_through"),
        endings=("_flythrough.mp4",),
    ),
    ExportFormat("gif", "overlay.gif", "the same as a small animation", _write_overlay, needs="clip"),
    ExportFormat(
        "png", "overlay.png", "the same as a still, of a frame with the most people", _write_overlay, False, "clip"
    ),
    ExportFormat("viser", "scene.viser", _VISER, _imported("viewer_files", "write_viser"), _DEFAULT),
    ExportFormat("html", "scene.html", _HTML, _imported("viewer_files", "write_html"), _DEFAULT),
    ExportFormat("amass", "amass.zip", _AMASS, _bodies(write_amass), folder=".", endings=("amass.zip", "amass.npz")),
    ExportFormat("bvh", "bvh.zip", _BVH, _bodies(write_bvh), folder=".", endings=("bvh.zip", ".bvh")),
    ExportFormat("obj", "obj.zip", _OBJ, _surfaces(write_obj), folder="obj", endings=("obj.zip", ".obj"), main=".obj"),
    ExportFormat("usdz", "scene.usdz", _USDZ, _surfaces(write_usdz), extra=("pxr", "usd")),
    ExportFormat("rrd", "scene.rrd", _RRD, _imported("rrd", "write_rrd"), extra=("rerun", "rerun")),
    ExportFormat("tum", "cameras_tum.txt", "the camera path as TUM RGB-D tools and evo read it", _arrays(write_tum)),
    ExportFormat("colmap", "colmap.zip", _COLMAP, _arrays(write_colmap), folder="colmap", endings=("colmap.zip",)),
)
"""Every format, in writing order: a crash in a later one leaves the arrays."""
FORMATS: tuple[str, ...] = tuple(each.name for each in EXPORT_FORMATS)
"""Their names."""
SURFACE_FORMATS = frozenset({"fly_through", "glb", "static_glb", "obj", "usdz", "rrd", "viser", "html"})
"""Those that show the scene's surface."""
VIEWER_FORMATS = frozenset({"viser", "html"})
"""Those of the 4D viewer."""
DEFAULT_FORMATS: tuple[str, ...] = tuple(each.name for each in EXPORT_FORMATS if each.is_default)
"""What ``reconstruct`` writes by default."""


def check_formats(formats: str | Iterable[str]) -> list[str]:
    """Return format names in writing order, without repetitions.

    Args:
        formats: Names, or a comma-separated list, regardless of case; ``-`` and spaces are read as ``_``.

    Raises:
        InputError: A format does not exist, or the list is empty.
        ResourceError: A required optional package is not installed.
    """
    given = formats.split(",") if isinstance(formats, str) else formats
    wanted = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in given]
    known = f"Choose from {', '.join(FORMATS)}."
    unknown = sorted(set(wanted) - {*FORMATS, ""})
    if unknown:
        raise InputError(f"Unknown format {', '.join(unknown)}.", known)
    if not any(wanted):
        raise InputError("No format is named.", known)
    chosen = [each for each in EXPORT_FORMATS if each.name in wanted]
    for each in chosen:
        each.check_installed()
    return [each.name for each in chosen]


def format_of(path: Path) -> ExportFormat:
    """Return the format selected by the suffix of a file name: the longest match.

    Raises:
        InputError: No format has this suffix.
    """
    endings = {ending: each for each in EXPORT_FORMATS for ending in each.endings or (Path(each.file).suffix,)}
    matches = [ending for ending in endings if path.name.lower().endswith(ending)]
    if not matches:
        message = f"No format has the suffix {path.suffix or path.name!r}."
        raise InputError(message, f"Use one of {', '.join(endings)}.")
    return endings[max(matches, key=len)]
