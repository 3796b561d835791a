"""Where weights come from: local files, one commit of the hub, and hashes."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from hub_stand_in import Hub, serve

from human3r.assets.download import download_weights, read_pin
from human3r.assets.registry import ASSETS, Asset, find_weights, sha256_of, weights_folder
from human3r.cli import main
from human3r.errors import AssetIntegrityError, AssetMissingError, DiskFullError, InputError

COMMIT = "a" * 40
CONTENT = b"weights"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine with one commit, of which ``human3r_672B.pth`` is a file of seven bytes."""
    with serve(Hub("faneggg/human3r", "human3r_672B.pth", CONTENT, COMMIT)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def small(name: str) -> Asset:
    return replace(ASSETS[name], size_bytes=10)


def test_a_download_is_one_commit_and_its_hash_is_checked(home: Path, hub: Hub) -> None:
    path = download_weights(small("human3r_672b"))
    assert path.read_bytes() == CONTENT
    pin = read_pin(path)
    assert (pin.revision, pin.sha256, pin.size_bytes) == (COMMIT, HASH, len(CONTENT))
    assert find_weights("human3r_672b") == path


def test_present_files_are_not_downloaded_again_even_offline(home: Path, hub: Hub, monkeypatch) -> None:
    path = download_weights(small("human3r_672b"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert download_weights(small("human3r_672b")) == path
    assert len(hub.ranges) == 1


def test_a_file_that_changed_on_the_disk_is_downloaded_again(home: Path, hub: Hub) -> None:
    path = download_weights(small("human3r_672b"))
    path.write_bytes(b"Weights")
    download_weights(small("human3r_672b"))
    assert path.read_bytes() == CONTENT


def test_an_interrupted_download_resumes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 1000
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub = Hub("faneggg/human3r", "human3r_672B.pth", content, COMMIT, cut_first_transfer_at=150_000)
    with serve(hub):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert download_weights(small("human3r_672b")).read_bytes() == content
    first, second = hub.ranges
    assert first is None
    assert int(second.removeprefix("bytes=").split("-")[0]) > 100_000


def test_a_download_with_a_wrong_hash_is_deleted(home: Path, hub: Hub) -> None:
    hub.file_name = "human3r_672S.pth"
    with pytest.raises(AssetIntegrityError, match=f"has sha256 {HASH}, expected 84d2"):
        download_weights(small("human3r_672s"))
    assert find_weights("human3r_672s") is None
    assert not list(home.rglob("*.pth"))


def test_a_commit_whose_content_changed_is_refused(home: Path, hub: Hub) -> None:
    download_weights(small("human3r_672b")).unlink()
    hub.content, hub.stated_sha256 = b"others!", hashlib.sha256(b"others!").hexdigest()
    with pytest.raises(AssetIntegrityError, match=f"expected {HASH}"):
        download_weights(small("human3r_672b"))


@pytest.mark.parametrize(
    ("change", "revision", "name", "words"),
    [
        ({"is_gated": True}, None, "human3r_672b", "on request.*Accept the conditions on the page of faneggg/human3r"),
        ({}, "c" * 40, "human3r_672b", "no such commit"),
        ({}, None, "human3r_672l", "does not have it"),
        ({"repository": "someone/else"}, None, "human3r_672b", "does not have it"),
    ],
)
def test_each_refusal_of_the_hub_has_its_message(
    home: Path, hub: Hub, change: dict[str, object], revision: str | None, name: str, words: str
) -> None:
    for key, value in change.items():
        setattr(hub, key, value)
    with pytest.raises(AssetMissingError, match=words):
        download_weights(small(name), revision)


def test_a_branch_name_is_not_a_revision(home: Path, hub: Hub) -> None:
    with pytest.raises(InputError, match="not a commit"):
        download_weights(small("human3r_672b"), "main")
    assert hub.ranges == []


def test_offline_mode_is_named_and_the_remedy_says_where_to_put_the_file(home: Path, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AssetMissingError, match="offline mode is on") as caught:
        download_weights(small("human3r_672b"))
    assert "HF_HUB_OFFLINE" in caught.value.remedy
    assert str(weights_folder()) in caught.value.remedy


def test_a_missing_network_is_one_sentence_on_the_command_line(home: Path, hub: Hub, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the port that nobody listens on
    monkeypatch.setitem(ASSETS, "human3r_672b", small("human3r_672b"))
    assert main(["models", "download", "human3r_672b"]) == 1
    told = capsys.readouterr().err
    assert "cannot be reached" in told
    assert "Traceback" not in told


def test_a_full_disk_is_named(home: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DiskFullError, match=r"needs 1000000000\.5 GB"):
        download_weights(replace(ASSETS["human3r_672b"], size_bytes=10**18))

    def fetch(*arguments: object, **options: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    with pytest.raises(DiskFullError, match="disk is full"):
        download_weights(small("human3r_672b"))


def test_converted_weights_go_before_downloaded_ones(home: Path) -> None:
    weights_folder().mkdir(parents=True)
    (weights_folder() / "human3r_896L.pth").write_bytes(b"1")
    assert find_weights("human3r_896l").suffix == ".pth"
    (weights_folder() / "human3r_896l.safetensors").write_bytes(b"2")
    assert find_weights("human3r_896l").suffix == ".safetensors"


def test_the_hash_of_a_file_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert sha256_of(tmp_path / "a") == HASH
