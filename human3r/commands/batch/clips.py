"""Find the clips of a batch: files, glob patterns, and folders, which are searched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from human3r.commands.batch.locations import Location
from human3r.errors import InputError
from human3r.exporting import MANIFEST_NAME
from human3r.video.sniff import VIDEO_SUFFIXES
from human3r.video.sources.image_decoding import IMAGE_SUFFIXES

_CLIP_SUFFIXES = (*VIDEO_SUFFIXES, ".zip")


def find_clips(arguments: Sequence[str], output: Location) -> list[Location]:
    """Return the clips in the order of the arguments, each once.

    A folder is searched recursively; a folder of images without videos is one clip. Results of earlier runs and the
    output folder are skipped.

    Args:
        arguments: Paths, URLs and glob patterns (``*``, ``?``, ``[...]``, ``**``) of files and folders. A path that
            does not exist is returned unchanged.

    Raises:
        InputError: A pattern matches nothing, or no clip was found.
    """
    found: dict[str, Location] = {}
    for argument in arguments:
        for location in _matches(argument):
            for clip in _clips_below(location, output) if location.files.isdir(location.path) else [location]:
                found[clip.address] = clip
    if not found:
        raise InputError("There are no clips in the given folders.", "Give folders with videos or images.")
    return list(found.values())


def _matches(argument: str) -> list[Location]:
    location = Location.of(argument)
    # A name may contain a bracket without being a pattern.
    if not any(sign in location.path for sign in "*?[") or location.files.exists(location.path):
        return [location]
    paths = sorted(str(path) for path in location.files.glob(location.path))
    if not paths:
        raise InputError(f"The pattern {argument!r} matches nothing.", "Check the path.")
    return [Location(location.files, path) for path in paths]


def _clips_below(folder: Location, output: Location) -> Iterable[Location]:
    names_of: dict[str, list[str]] = defaultdict(list)
    for path in sorted(str(path) for path in folder.files.find(folder.path)):
        parent, _, name = path.rpartition("/")
        is_hidden = any(part.startswith(".") for part in PurePosixPath(path[len(folder.path) :]).parts)
        if not is_hidden and not _is_inside(path, output):
            names_of[parent].append(name)
    for parent, names in names_of.items():
        if MANIFEST_NAME in names:
            continue
        clips = [name for name in names if name.lower().endswith(_CLIP_SUFFIXES)]
        if not clips and any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
            yield Location(folder.files, parent)
        yield from (Location(folder.files, f"{parent}/{name}") for name in clips)


def _is_inside(path: str, folder: Location) -> bool:
    return PurePosixPath(path).is_relative_to(folder.path)
