"""Find sequences and pair their files."""

from __future__ import annotations

from pathlib import Path

from human3r.errors import FormatError
from human3r.video.sources.image_decoding import IMAGE_SUFFIXES
from human3r.video.sources.sequences import natural_key


def sequence_folders(parent: Path, names: tuple[str, ...], prefix: str = "") -> list[tuple[str, Path]]:
    """List (name, folder) of the named sequences that exist, or of all folders without names."""
    if names:
        return [(name, parent / f"{prefix}{name}") for name in names if (parent / f"{prefix}{name}").is_dir()]
    if not parent.is_dir():
        return []
    folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [(path.name, path) for path in sorted(folders, key=lambda path: natural_key(path.name))]


def list_files(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """List the files with these suffixes in natural order of their names; none if the folder does not exist."""
    if not folder.is_dir():
        return ()
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    return tuple(sorted(files, key=lambda path: natural_key(path.name)))


def paired(
    name: str, images: tuple[Path, ...], truths: tuple[Path, ...], num_frames: int | None
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the first ``num_frames`` images with their truth files, which are paired by order.

    Raises:
        FormatError: The two lists differ in length.
    """
    if len(images) != len(truths):
        raise FormatError(
            f"Sequence {name} has {len(images)} images and {len(truths)} files of truth.",
            "Complete the download: they are paired by order.",
        )
    return images[:num_frames], truths[:num_frames]
