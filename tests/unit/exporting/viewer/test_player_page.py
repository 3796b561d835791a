"""The player as a page on this machine: of a saved result, and of a stream."""

from __future__ import annotations

import base64
import socket
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest
from synthetic_scene import prediction_of

from human3r.bodies import SmplxBody
from human3r.errors import InputError
from human3r.exporting.viewer.player_page import LivePage, PlayerPage
from human3r.results.reconstruction import Reconstruction


def test_the_page_holds_the_player_the_recording_and_the_moments(
    walk: Reconstruction, small_body: SmplxBody, tmp_path: Path
) -> None:
    moments = tmp_path / "moments.bin"
    moments.write_bytes(b"points of single frames")
    with PlayerPage(walk, small_body, moments=moments) as page:
        with urllib.request.urlopen(page.url, timeout=60) as answer:
            content = answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{page.url}/elsewhere", timeout=60)
    assert "h3r.Player" in content
    assert "__VISER_EMBED_DATA__" in content
    assert base64.b64encode(b"points of single frames").decode() in content


def test_a_port_in_use_is_one_sentence(walk: Reconstruction, small_body: SmplxBody) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} cannot be used"):
            PlayerPage(walk, small_body, port=port)


def test_closing_frees_the_port(walk: Reconstruction, small_body: SmplxBody) -> None:
    with PlayerPage(walk, small_body) as page:
        port = int(page.url.rsplit(":", 1)[1])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_live_page_goes_on_in_a_new_scene_before_one_holds_too_many_frames(
    walk: Reconstruction, small_body: SmplxBody
) -> None:
    with LivePage(small_body, max_frames=2) as page:
        for frame in range(2):
            page.add(prediction_of(walk, frame))
        first = page.url
        page.add(prediction_of(walk, 2))
        assert page.url != first
        assert page._former is not None
        messages = page._former._server._websock_server._broadcast_buffer.message_from_id.values()
        assert f'location.replace("{page.url}")' in [getattr(message, "source", "") for message in messages]
        for frame in range(3, 6):
            page.add(prediction_of(walk, frame))
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.1", int(first.rpartition(":")[2].partition("/")[0])))


def test_a_live_page_begins_a_new_scene_for_another_place(walk: Reconstruction, small_body: SmplxBody) -> None:
    with LivePage(small_body) as page:
        first = page.url
        page.add(replace(prediction_of(walk, 0), shot=1))  # nothing was shown before
        assert page.url == first
        page.add(replace(prediction_of(walk, 1), shot=2))
        assert page.url != first


def test_the_command_reports_what_it_does_until_it_is_stopped(walk, tmp_path: Path, monkeypatch, capsys) -> None:
    from human3r.cli import main

    walk.save(tmp_path / "out.npz")
    page = MagicMock(url="http://127.0.0.1:9/")
    page.__enter__.return_value = page
    monkeypatch.setattr("human3r.exporting.viewer.player_page.PlayerPage", lambda *_, **__: page)
    monkeypatch.setattr("human3r.commands.results.load_matching_body", lambda *_: None)
    monkeypatch.setattr("human3r.commands.results.threading.Event.wait", Mock(side_effect=KeyboardInterrupt))

    assert main(["view", str(tmp_path / "out.npz")]) == 0

    said = capsys.readouterr()
    assert said.err.startswith("Reading ")
    assert said.out.endswith("at http://127.0.0.1:9/. Press Ctrl+C to stop.\n")
