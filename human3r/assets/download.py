"""Download released weights from the hub: hash-checked, atomic, and pinned to the commit of the first download."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from human3r.assets.registry import Asset, sha256_of, weights_folder
from human3r.errors import AssetIntegrityError, AssetMissingError, DiskFullError, Human3RError, InputError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SPARE_BYTES = 500_000_000


@dataclass(frozen=True)
class Pin:
    """Record of the first download, which later ones must match."""

    repository: str
    revision: str
    """Commit, 40 hexadecimal digits."""
    sha256: str
    size_bytes: int


def download_weights(asset: Asset, revision: str | None = None) -> Path:
    """Download one released checkpoint, unless it is present, and return its path.

    The file always comes from one commit: the given one, the one of the registry, the one recorded at the first
        download, or, at the first, the newest. Its hash must be the published one; where none is published, the one
        recorded for that commit, or, at the first download, the one that the hub states. An interrupted download is
        resumed. The hub's address, token and offline mode are set by its variables: ``HF_ENDPOINT``,
    ``HF_TOKEN``, ``HF_HUB_OFFLINE``.

    Args:
        revision: Commit of the hub repository.

    Raises:
        InputError: The revision is not a commit.
        AssetMissingError: The hub cannot be reached, denies access, or does not have the file.
        AssetIntegrityError: The file has a wrong hash; it is deleted.
        DiskFullError: Not enough space; the partial download is kept for the next attempt.
    """
    assert asset.repository is not None
    assert asset.file_name is not None
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / asset.file_name
    pin = read_pin(target)
    revision = revision or asset.revision or (pin.revision if pin else None)
    if revision is not None and not _COMMIT.fullmatch(revision):
        raise InputError(f"The revision {revision!r} is not a commit.", "Give its 40 hexadecimal digits.")
    if pin and pin.revision == revision and target.is_file() and sha256_of(target) == pin.sha256:
        return target
    commit, stated, fetched = _fetch(asset, asset.file_name, revision, folder)
    expected = asset.sha256 or (pin.sha256 if pin and pin.revision == commit else None) or stated
    found = sha256_of(fetched)
    if expected is None or found != expected:
        fetched.unlink()
        raise AssetIntegrityError(f"{asset.file_name} has sha256 {found}, expected {expected}.", "Download it again.")
    fetched.replace(target)
    record = asdict(Pin(asset.repository, commit, found, target.stat().st_size))
    _pin_path(target).write_text(json.dumps(record, indent=1) + "\n")
    return target


def read_pin(target: Path) -> Pin | None:
    """Return what was recorded when a weight file was downloaded, or None.

    Raises:
        AssetIntegrityError: The record is damaged.
    """
    path = _pin_path(target)
    if not path.is_file():
        return None
    try:
        return Pin(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise AssetIntegrityError(f"The record {path.name} is damaged.", "Delete it and download again.") from error


def _pin_path(target: Path) -> Path:
    return target.with_suffix(".pin.json")


def _fetch(asset: Asset, file_name: str, revision: str | None, folder: Path) -> tuple[str, str | None, Path]:
    """Return (commit, sha256 that the hub states, fetched file)."""
    from huggingface_hub import HfApi, hf_hub_download

    assert asset.repository is not None
    _check_room(folder, asset)
    # Read here, since the library reads the variable only when it is imported.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        listing = HfApi(endpoint).model_info(asset.repository, revision=revision, files_metadata=True)
        commit = revision or str(listing.sha)
        stated = {item.rfilename: item.lfs.sha256 for item in listing.siblings or () if item.lfs}.get(file_name)
        fetched = hf_hub_download(
            asset.repository, file_name, revision=commit, local_dir=folder / "incoming", endpoint=endpoint
        )
        return commit, stated, Path(fetched)
    except Exception as error:
        raise _explain(error, asset, folder) from error


def _explain(error: Exception, asset: Asset, folder: Path) -> Human3RError:
    """Return what went wrong in the user's words."""
    from huggingface_hub import errors

    # The library wraps a missing network, offline mode and an unavailable hub in one class.
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        return DiskFullError(f"The disk is full: {asset.file_name} was not downloaded.", "Free some space and go on.")
    match cause:
        case errors.OfflineModeIsEnabled():
            reason, remedy = "offline mode is on", "Unset HF_HUB_OFFLINE"
        case errors.GatedRepoError():
            reason = "its owner gives access on request"
            remedy = f"Accept the conditions on the page of {asset.repository} and set HF_TOKEN"
        case errors.RevisionNotFoundError():
            reason, remedy = "the hub has no such commit", "Check --revision"
        case errors.RepositoryNotFoundError() | errors.RemoteEntryNotFoundError():
            reason, remedy = "the hub does not have it, or not for you", "Set HF_TOKEN if the repository is private"
        case errors.HfHubHTTPError():
            reason, remedy = f"the hub answered {cause.response.status_code}", "Try again later"
        case _:
            reason = f"the hub cannot be reached ({type(cause).__name__})"
            remedy = "Check the connection and run the command again, which resumes the download"
    return AssetMissingError(
        f"{asset.file_name} was not downloaded: {reason}.",
        f"{remedy}, or put the file of {asset.repository} into {folder} by hand.",
    )


def _check_room(folder: Path, asset: Asset) -> None:
    free = shutil.disk_usage(folder).free
    needed = (asset.size_bytes or 0) + _SPARE_BYTES
    if free < needed:
        raise DiskFullError(
            f"{asset.name} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free.", "Free some space."
        )
