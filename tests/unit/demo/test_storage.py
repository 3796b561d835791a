"""Results behind tokens: what a name may reach, and when things go."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from demo.storage import Store, sweep_empty_uploads


def test_a_token_has_128_random_bits(store: Store) -> None:
    tokens = {store.open("someone").token for _ in range(3)}

    assert len(tokens) == 3
    assert {len(base64.urlsafe_b64decode(token + "==")) for token in tokens} == {16}


def test_a_shelf_is_found_by_its_token_only(store: Store) -> None:
    shelf = store.open("someone")

    assert store.get(shelf.token) is shelf
    assert store.get(shelf.token[:-1] + ("a" if shelf.token[-1] != "a" else "b")) is None
    assert store.get("") is None


@pytest.mark.parametrize("name", ["../secret", "..", ".hidden", "a/b", "", "/etc/passwd", "x" * 100, "scene.glb\n"])
def test_names_that_leave_the_folder_reach_nothing(store: Store, name: str) -> None:
    shelf = store.open("someone")
    (shelf.folder.parent / "secret").write_text("secret")
    (shelf.folder / ".hidden").write_text("half-written")

    assert shelf.file(name) is None


def test_a_link_in_the_folder_is_not_followed(store: Store) -> None:
    shelf = store.open("someone")
    (shelf.folder.parent / "secret").write_text("secret")
    (shelf.folder / "scene.glb").symlink_to(shelf.folder.parent / "secret")

    assert shelf.file("scene.glb") is None


def test_a_result_is_gone_after_its_time(store: Store, clock) -> None:
    shelf = store.open("someone")
    (shelf.folder / "scene.glb").write_bytes(b"x")

    clock.now_s = 3601

    assert store.get(shelf.token) is None
    assert store.sweep() == 1
    assert not shelf.folder.exists()


def test_a_shelf_outlives_its_time_while_a_run_writes_to_it_and_its_time_begins_afterwards(store: Store, clock) -> None:
    shelf = store.open("someone")
    with store.in_use(shelf.token, time_starts_after=True):
        clock.now_s = 9000
        assert store.sweep() == 0
        for _ in range(5):
            store.open("someone else")
        assert store.get(shelf.token) is shelf

    clock.now_s += 3599
    assert store.get(shelf.token) is not None
    clock.now_s += 2
    assert store.get(shelf.token) is None


def test_a_clip_is_kept_with_its_result_and_nobody_can_ask_for_it(store: Store, tmp_path: Path) -> None:
    upload = tmp_path / "holiday.mp4"
    upload.write_bytes(b"film")
    shelf = store.open("someone")

    own = shelf.keep(upload)
    upload.unlink()

    assert own.read_bytes() == b"film"
    assert own.name == "holiday.mp4"
    assert shelf.file(".clip") is None
    assert shelf.file("holiday.mp4") is None
    store.remove(shelf.token)
    assert not own.exists()


def test_a_download_keeps_a_shelf_no_longer_than_it_takes(store: Store, clock) -> None:
    shelf = store.open("someone")
    with store.in_use(shelf.token), store.in_use(shelf.token):
        clock.now_s = 3601
        assert store.get(shelf.token) is shelf

    assert store.get(shelf.token) is None


def test_an_example_stays_when_the_results_of_visitors_go(store: Store, clock) -> None:
    example = store.open(owner="")
    store.open("someone")

    clock.now_s = 3601
    store.sweep()

    assert store.get(example.token) is example
    assert len(store) == 1


def test_the_oldest_result_makes_room_for_the_newest(store: Store, clock) -> None:
    shelves = []
    for second in range(4):
        clock.now_s = second
        shelves.append(store.open("someone"))

    assert store.get(shelves[0].token) is None
    assert not shelves[0].folder.exists()
    assert store.get(shelves[3].token) is shelves[3]


def test_leaving_the_store_leaves_no_file() -> None:
    with Store(60, 8) as store:
        folder = store.open("someone").folder
        (folder / "scene.glb").write_bytes(b"x")

    assert not folder.parent.exists()


def test_the_points_of_single_frames_have_one_name_everywhere() -> None:
    from demo.storage import MOMENTS_NAME as SERVED
    from human3r.export.viewer.moments import MOMENTS_NAME as WRITTEN

    assert SERVED == WRITTEN


def test_the_empty_files_that_uploads_leave_go_after_their_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "tmpabc").touch()
    (tmp_path / "tmpfull").write_bytes(b"x")
    (tmp_path / "other").touch()

    assert sweep_empty_uploads(tmp_path, 3600) == 0
    assert sweep_empty_uploads(tmp_path, -1) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tmpfull"]
