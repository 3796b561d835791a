"""Fetch official weights from the hub: one commit, hash-checked, whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from human3r.assets.registry import Asset, sha256_of, weights_folder
from human3r.errors import AssetIntegrityError, AssetMissingError, DiskFullError, InputError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SPARE_BYTES = 500_000_000


def download_weights(asset: Asset, revision: str | None = None) -> Path:
    """Download one official checkpoint and return its path.

    The file always comes from one commit: the given one, the pinned one, or the newest, looked up first and named in
    the result's side file. Its hash must be the published one, or, where none is published, the one that the hub
    states for that commit.

    Args:
        asset: An official model.
        revision: Commit of the hub repository; None takes the pinned or the newest one.

    Raises:
        InputError: The revision is not a commit.
        AssetMissingError: The hub cannot be reached or does not have the file.
        AssetIntegrityError: The file has a wrong hash; it is deleted.
        DiskFullError: Not enough room.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    assert asset.repository is not None
    assert asset.file_name is not None
    revision = revision or asset.revision
    if revision is not None and not _COMMIT.fullmatch(revision):
        raise InputError(f"The revision {revision!r} is not a commit.", "Give its 40 hexadecimal digits.")
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(folder, asset)
    try:
        listing = HfApi().model_info(asset.repository, revision=revision, files_metadata=True)
        commit = revision or str(listing.sha)
        stated = {item.rfilename: item.lfs.sha256 for item in listing.siblings or () if item.lfs}.get(asset.file_name)
        fetched = Path(
            hf_hub_download(asset.repository, asset.file_name, revision=commit, local_dir=folder / "incoming")
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise AssetMissingError(
            f"{asset.file_name} could not be downloaded ({type(error).__name__}).",
            f"Check the connection, or put the file of {asset.repository} into {folder} by hand.",
        ) from error
    expected = asset.sha256 or stated
    found = sha256_of(fetched)
    if expected is None or found != expected:
        fetched.unlink()
        raise AssetIntegrityError(f"{asset.file_name} has sha256 {found}, expected {expected}.", "Download it again.")
    target = folder / asset.file_name
    fetched.replace(target)
    target.with_suffix(".commit").write_text(f"{asset.repository} {commit} sha256 {found}\n")
    return target


def _check_room(folder: Path, asset: Asset) -> None:
    free = shutil.disk_usage(folder).free
    needed = (asset.size_bytes or 0) + _SPARE_BYTES
    if free < needed:
        raise DiskFullError(
            f"{asset.name} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free.", "Free some space."
        )
