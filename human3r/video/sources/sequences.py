"""Choose one sequence among the images of a folder or zip: no picture twice, no depth maps, no second camera."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_NUMBER = re.compile(r"(?<![0-9])(?P<number>[0-9]{1,15})")
_DEVICE = re.compile(r"(cam|camera|view|kinect|sensor|gopro|device)[ _-]?([0-9]+|[a-z](?![a-z]))", re.IGNORECASE)
"""Words whose number or letter names a camera instead of a moment."""
_NO_PICTURE = re.compile(r"depth|disp|mask|seg|matte|alpha|label|normal|flow|conf", re.IGNORECASE)
"""Parts of names of images that are not what a camera saw."""
_MIN_SHARED = 0.8
"""Least share of a sequence's numbers that another one has, too, if both show the same moments."""
_MAX_NAMED = 3
_MAX_NAME = 40


@dataclass(frozen=True)
class _Group:
    """Images whose names differ only in their numbers."""

    pattern: str
    members: dict[tuple[int, ...], int]
    """Numbers in the name -> index of the image."""

    @property
    def any_device(self) -> str:
        """The pattern without the number of the device."""
        return _DEVICE.sub(r"\1", self.pattern)

    def rivals(self, other: _Group) -> bool:
        """Return whether both show the same moments."""
        if min(len(self.members), len(other.members)) < 2:
            return False
        if self.any_device == other.any_device:
            return True
        shared = len(self.members.keys() & other.members.keys())
        return shared >= _MIN_SHARED * min(len(self.members), len(other.members))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``2.png`` before ``10.png``, however accents and capitals are written."""
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part.lower())
        for part in re.split(r"([0-9]{1,15})", unicodedata.normalize("NFC", name))
        if part
    ]


def without_twins(names: Sequence[str]) -> list[int]:
    """Return the first image of each name without its ending: phones keep IMG_1.HEIC and IMG_1.JPG of one picture."""
    paths = [PurePosixPath(name) for name in names]
    first = {path.parent / path.stem: number for number, path in reversed(list(enumerate(paths)))}
    return sorted(first.values())


def one_sequence(names: Sequence[str], is_color: Callable[[int], bool]) -> tuple[list[int], str]:
    """Return the images of one sequence, ascending, and a remark if there are several of the same moments.

    Args:
        names: Paths inside the folder or zip, in the order of the frames.
        is_color: Tells whether an image has colors, unlike depth maps and masks.
    """
    groups: dict[str, _Group] = {}
    for index, name in enumerate(names):
        pattern, numbers = _split(name)
        groups.setdefault(pattern, _Group(pattern, {})).members.setdefault(numbers, index)
    largest = max(groups.values(), key=lambda group: len(group.members))
    rivals = [group for group in groups.values() if group is largest or largest.rivals(group)]
    if len(rivals) == 1:
        return list(range(len(names))), ""

    def preference(group: _Group) -> tuple[bool, bool, int]:
        return (
            _NO_PICTURE.search(group.pattern) is not None,
            not is_color(min(group.members.values())),
            -len(group.members),
        )

    used = min(rivals, key=preference)
    unused = {index for group in rivals if group is not used for index in group.members.values()}
    patterns = ", ".join(group.pattern[-_MAX_NAME:] for group in rivals[:_MAX_NAMED])
    remark = (
        f"The images are {len(rivals)} sequences of the same moments ({patterns}{', …' * (len(rivals) > _MAX_NAMED)}); "
        f"only {used.pattern[-_MAX_NAME:]} was used."
    )
    return [index for index in range(len(names)) if index not in unused], remark


def _split(name: str) -> tuple[str, tuple[int, ...]]:
    """Return a name without its ending and with ``#`` for its numbers, and these."""
    path = PurePosixPath("".join(character if character.isprintable() else "?" for character in name))
    text = str(path.parent / path.stem)
    pieces: list[str] = []
    numbers: list[int] = []
    place = 0
    for device in [*_DEVICE.finditer(text), None]:
        part = text[place : len(text) if device is None else device.start()]
        numbers += [int(number) for number in _NUMBER.findall(part)]
        pieces += [_NUMBER.sub("#", part), "" if device is None else device.group()]
        place = len(text) if device is None else device.end()
    return "".join(pieces), tuple(numbers)
