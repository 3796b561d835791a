"""What the server says when it cannot start: one sentence of ours, and never that it is ready."""

from __future__ import annotations

import signal
import socket

import pytest
from fake_engine import FakeEngine

from demo.server import serve
from demo.settings import Settings


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for name in ("FORWARDED_ALLOW_IPS", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")


def test_an_unknown_model_is_named_and_nothing_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(Settings(model="nope")) == 2

    said = capsys.readouterr()
    assert "nope" in said.err
    assert "ready" not in said.out + said.err


def test_a_busy_port_is_named_with_the_option_that_changes_it(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        assert serve(Settings(port=port), engine) == 1

    said = capsys.readouterr()
    assert said.err == f"The port {port} is in use on 127.0.0.1. Choose another one with --port.\n"
    assert "ready" not in said.out
