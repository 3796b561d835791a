"""Every error class of the package, and how a module that is run by name ends with one.

A message is one sentence about the problem, with measured value and limit if any; ``remedy`` tells what to do.
``str(error)`` joins both, and ``code`` is stable for programs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


class Human3RError(Exception):
    """Base of all errors for users.

    Args:
        message: One sentence: what is wrong, with measured value and limit.
        remedy: One sentence: what to do about it.
    """

    code = "error"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InputError(Human3RError):
    """The user's file or option cannot be used."""

    code = "input"


class UnsupportedMediaError(InputError):
    """The file is not a video, GIF, image folder or zip of images that can be read."""

    code = "unsupported_media"


class MediaTooLargeError(InputError):
    """The media exceeds a limit; the message names the limit and the measured value."""

    code = "media_too_large"


class MediaDecodeError(InputError):
    """The media is damaged, and no frame could be decoded."""

    code = "media_decode"


class FormatError(InputError):
    """A saved reconstruction, or another structured file, has a wrong layout."""

    code = "format"


class AssetError(Human3RError):
    """Weights or a body-model file cannot be used."""

    code = "asset"


class AssetMissingError(AssetError):
    """Weights or a body model are not on this machine; the remedy says where to get them."""

    code = "asset_missing"


class AssetIntegrityError(AssetError):
    """A file's sha256 or layout is not the expected one."""

    code = "asset_integrity"


class CheckpointError(Human3RError):
    """A checkpoint has wrong, missing or unexpected entries; the message names keys and counts."""

    code = "checkpoint"


class ResourceError(Human3RError):
    """The machine lacks something: memory, disk, a device."""

    code = "resource"


class DeviceMemoryError(ResourceError):
    """The device ran out of memory."""

    code = "device_memory"


class DiskFullError(ResourceError):
    """The disk is full; no partial file is left."""

    code = "disk_full"


class Cancelled(Human3RError):
    """The user stopped the job.

    Args:
        frame_index: The last frame that was finished.
    """

    code = "cancelled"

    def __init__(self, frame_index: int) -> None:
        super().__init__(f"Stopped after frame {frame_index}.")
        self.frame_index = frame_index


def error_from(code: str, message: str, remedy: str) -> Human3RError:
    """Restore an error from another process; an unknown code gives the base class."""
    return _BY_CODE.get(code, Human3RError)(message, remedy)


_BY_CODE: dict[str, type[Human3RError]] = {
    kind.code: kind
    for kind in tuple(globals().values())
    if isinstance(kind, type) and issubclass(kind, Human3RError) and kind is not Cancelled
}


def run_main(main: Callable[[], int | None]) -> NoReturn:
    """End this process with the exit code of a module's ``main``; a typed error is one sentence on standard error."""
    try:
        sys.exit(main())
    except Human3RError as error:
        sys.exit(f"human3r: {error}")
