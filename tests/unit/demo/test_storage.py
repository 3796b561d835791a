"""Results behind tokens: what a name may reach, and when things go."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from demo.storage import ResultStore, sweep_empty_uploads


def test_a_token_has_128_random_bits(store: ResultStore) -> None:
    tokens = {store.open("someone").token for _ in range(3)}

    assert len(tokens) == 3
    assert {len(base64.urlsafe_b64decode(token + "==")) for token in tokens} == {16}


def test_a_run_folder_is_found_by_its_token_only(store: ResultStore) -> None:
    folder = store.open("someone")

    assert store.get(folder.token) is folder
    assert store.get(folder.token[:-1] + ("a" if folder.token[-1] != "a" else "b")) is None
    assert store.get("") is None


@pytest.mark.parametrize("name", ["../secret", "..", ".hidden", "a/b", "", "/etc/passwd", "x" * 100, "scene.glb\n"])
def test_names_that_leave_the_folder_reach_nothing(store: ResultStore, name: str) -> None:
    folder = store.open("someone")
    (folder.path.parent / "secret").write_text("secret")
    (folder.path / ".hidden").write_text("half-written")

    assert folder.file(name) is None


def test_a_link_in_the_folder_is_not_followed(store: ResultStore) -> None:
    folder = store.open("someone")
    (folder.path.parent / "secret").write_text("secret")
    (folder.path / "scene.glb").symlink_to(folder.path.parent / "secret")

    assert folder.file("scene.glb") is None


def test_a_result_is_gone_after_its_time(store: ResultStore, clock) -> None:
    folder = store.open("someone")
    (folder.path / "scene.glb").write_bytes(b"x")

    clock.now_s = 3601

    assert store.get(folder.token) is None
    assert store.sweep() == 1
    assert not folder.path.exists()


def test_a_run_folder_outlives_its_time_while_a_run_writes_to_it_and_its_time_begins_afterwards(
    store: ResultStore, clock
) -> None:
    folder = store.open("someone")
    with store.in_use(folder.token, restart_ttl=True):
        clock.now_s = 9000
        assert store.sweep() == 0
        for _ in range(5):
            store.open("someone else")
        assert store.get(folder.token) is folder

    clock.now_s += 3599
    assert store.get(folder.token) is not None
    clock.now_s += 2
    assert store.get(folder.token) is None


def test_a_clip_is_kept_with_its_result_and_not_served(store: ResultStore, tmp_path: Path) -> None:
    upload = tmp_path / "holiday.mp4"
    upload.write_bytes(b"film")
    folder = store.open("someone")

    own = folder.keep_clip(upload)
    upload.unlink()

    assert own.read_bytes() == b"film"
    assert own.name == "holiday.mp4"
    assert folder.file(".clip") is None
    assert folder.file("holiday.mp4") is None
    store.remove(folder)
    assert not own.exists()


def test_a_download_keeps_a_run_folder_no_longer_than_it_takes(store: ResultStore, clock) -> None:
    folder = store.open("someone")
    with store.in_use(folder.token), store.in_use(folder.token):
        clock.now_s = 3601
        assert store.get(folder.token) is folder

    assert store.get(folder.token) is None


def test_an_example_stays_when_the_results_of_visitors_go(store: ResultStore, clock) -> None:
    example = store.open(owner="")
    store.open("someone")

    clock.now_s = 3601
    store.sweep()

    assert store.get(example.token) is example
    assert len(store) == 1


def test_the_oldest_result_makes_room_for_the_newest(store: ResultStore, clock) -> None:
    folders = []
    for second in range(4):
        clock.now_s = second
        folders.append(store.open("someone"))
        store.make_room()

    assert store.get(folders[0].token) is None
    assert not folders[0].path.exists()
    assert store.get(folders[3].token) is folders[3]


def test_a_visitor_with_many_results_loses_own_ones_first(store: ResultStore, clock) -> None:
    rare = store.open("session", "203.0.113.5")
    many = []
    for second in range(5):
        clock.now_s = second + 1
        many.append(store.open(f"session {second}", "203.0.113.6"))
        store.make_room()

    assert store.get(rare.token) is rare
    assert [store.get(folder.token) is folder for folder in many] == [False, False, False, True, True]


def test_runs_that_begin_cost_nobody_a_result(store: ResultStore) -> None:
    result = store.open("someone")
    for number in range(20):
        store.open(f"session {number}", "203.0.113.6")

    assert store.get(result.token) is result


def test_closing_the_store_leaves_no_file() -> None:
    with ResultStore(60, 8) as store:
        folder = store.open("someone").path
        (folder / "scene.glb").write_bytes(b"x")

    assert not folder.parent.exists()


def test_only_empty_files_of_uploads_expire(tmp_path: Path) -> None:
    (tmp_path / "tmpabc").touch()
    (tmp_path / "tmpfull").write_bytes(b"x")
    (tmp_path / "other").touch()

    assert sweep_empty_uploads(tmp_path, 3600) == 0
    assert sweep_empty_uploads(tmp_path, -1) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tmpfull"]
