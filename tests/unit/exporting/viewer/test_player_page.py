"""A saved result as a page on this machine."""

from __future__ import annotations

import base64
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from human3r.bodies import SmplxBody
from human3r.errors import InputError
from human3r.exporting.viewer.player_page import PlayerPage
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


def test_a_taken_port_is_said_in_one_sentence(walk: Reconstruction, small_body: SmplxBody) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} cannot be used"):
            PlayerPage(walk, small_body, port=port)


def test_closing_frees_the_port(walk: Reconstruction, small_body: SmplxBody) -> None:
    with PlayerPage(walk, small_body) as page:
        port = int(page.url.rsplit(":", 1)[1])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
