"""Where weights come from: local files, one commit of the hub, and hashes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from human3r.assets.download import download_weights
from human3r.assets.registry import ASSETS, find_weights, sha256_of, weights_folder
from human3r.errors import AssetIntegrityError, AssetMissingError, InputError

COMMIT = "a" * 40
CONTENT = b"weights"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def hub(monkeypatch):
    """A hub that serves ``CONTENT`` and notes which commits were asked for."""
    asked = []

    class Api:
        def model_info(self, repository, revision=None, files_metadata=False):
            file = SimpleNamespace(rfilename="human3r_672B.pth", lfs=SimpleNamespace(sha256=HASH))
            return SimpleNamespace(sha=COMMIT, siblings=[file])

    def fetch(repository, file_name, revision, local_dir):
        asked.append(revision)
        local_dir.mkdir(parents=True, exist_ok=True)
        (local_dir / file_name).write_bytes(CONTENT)
        return str(local_dir / file_name)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    return asked


def small(name):
    return replace(ASSETS[name], size_bytes=10)


def test_a_download_is_one_commit_and_its_hash_is_checked(home, hub):
    path = download_weights(small("human3r_672b"))
    assert hub == [COMMIT]
    assert path.read_bytes() == CONTENT
    assert COMMIT in path.with_suffix(".commit").read_text()
    assert find_weights("human3r_672b") == path


def test_a_download_with_a_wrong_hash_is_deleted(home, hub):
    with pytest.raises(AssetIntegrityError, match=f"has sha256 {HASH}, expected 84d2"):
        download_weights(small("human3r_672s"))
    assert find_weights("human3r_672s") is None
    assert not list(home.rglob("*.pth"))


def test_a_branch_name_is_no_revision(home, hub):
    with pytest.raises(InputError, match="not a commit"):
        download_weights(small("human3r_672b"), "main")
    assert hub == []


def test_without_a_connection_the_remedy_names_repository_and_folder(home, monkeypatch):
    class Api:
        def model_info(self, *arguments, **options):
            raise OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    with pytest.raises(AssetMissingError, match="faneggg/human3r") as caught:
        download_weights(small("human3r_672b"))
    assert str(weights_folder()) in caught.value.remedy


def test_converted_weights_go_before_downloaded_ones(home):
    weights_folder().mkdir(parents=True)
    (weights_folder() / "human3r_896L.pth").write_bytes(b"1")
    assert find_weights("human3r_896l").suffix == ".pth"
    (weights_folder() / "human3r_896l.safetensors").write_bytes(b"2")
    assert find_weights("human3r_896l").suffix == ".safetensors"


def test_the_hash_of_a_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    assert sha256_of(tmp_path / "a") == HASH
