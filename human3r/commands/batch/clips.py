"""Which clips a batch has: files, patterns, and folders that are searched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from human3r.commands.batch.places import Place
from human3r.errors import InputError
from human3r.exporting import MANIFEST_NAME
from human3r.video.image_decoding import IMAGE_SUFFIXES

CLIP_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".flv", ".wmv", ".ogv",
    ".3gp", ".h264", ".h265", ".hevc", ".gif", ".zip",
)  # fmt: skip
"""Ends of names that make a file in a searched folder a clip; a file that is named itself may have any."""


def find_clips(arguments: Sequence[str], output: Place) -> list[Place]:
    """Return the clips in the order of the arguments, each once.

    A folder stands for every clip below it, and is itself a clip where it holds images and no clip; results of former
    runs and the output folder are left out.

    Args:
        arguments: Paths or URLs of files and folders, and patterns of these with ``*``, ``?``, ``[...]`` and ``**``.
            A path that does not exist is returned as it is.
        output: Where the results go.

    Raises:
        InputError: A pattern matches nothing, or there is no clip at all.
    """
    found: dict[str, Place] = {}
    for argument in arguments:
        for place in _matches(argument):
            for clip in _clips_below(place, output) if place.files.isdir(place.path) else [place]:
                found[clip.address] = clip
    if not found:
        raise InputError("There are no clips in the given folders.", "Give folders with videos or images.")
    return list(found.values())


def _matches(argument: str) -> list[Place]:
    place = Place.of(argument)
    # A name may contain a bracket without being a pattern.
    if not any(sign in place.path for sign in "*?[") or place.files.exists(place.path):
        return [place]
    paths = sorted(str(path) for path in place.files.glob(place.path))
    if not paths:
        raise InputError(f"The pattern {argument!r} matches nothing.", "Check the path.")
    return [Place(place.files, path) for path in paths]


def _clips_below(folder: Place, output: Place) -> Iterable[Place]:
    names_of: dict[str, list[str]] = defaultdict(list)
    for path in sorted(str(path) for path in folder.files.find(folder.path)):
        parent, _, name = path.rpartition("/")
        is_hidden = any(part.startswith(".") for part in PurePosixPath(path[len(folder.path) :]).parts)
        if not is_hidden and not _is_inside(path, output):
            names_of[parent].append(name)
    for parent, names in names_of.items():
        if MANIFEST_NAME in names:
            continue
        clips = [name for name in names if name.lower().endswith(CLIP_SUFFIXES)]
        if not clips and any(name.lower().endswith(IMAGE_SUFFIXES) for name in names):
            yield Place(folder.files, parent)
        yield from (Place(folder.files, f"{parent}/{name}") for name in clips)


def _is_inside(path: str, folder: Place) -> bool:
    return PurePosixPath(path).is_relative_to(folder.path)
