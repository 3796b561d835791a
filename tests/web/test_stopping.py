"""The server ends quietly whenever it is stopped, and leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import end, start_app

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]


def _left_in(folder: Path) -> list[str]:
    """Names of all files, and of the folders that are ours; Gradio makes an empty one of its own."""
    return [path.name for path in folder.rglob("*") if path.is_file() or "human3r" in path.name]


@pytest.mark.parametrize("during_run", [False, True], ids=["idle", "during a run"])
def test_a_stopped_server_exits_with_0_and_removes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_clip: Path, during_run: bool
) -> None:
    from gradio_client import Client, handle_file

    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    app, process = start_app(tmp_path, "tests/web/slow_app.py")
    if during_run:
        client = Client(app.url, verbose=False, download_files=False)
        job = client.submit(handle_file(str(long_clip)), api_name="/reconstruct")
        while not any("frame" in str(update) for update in job.outputs()):
            time.sleep(0.2)

    code = end(process)

    assert code == 0, app.log.read_text()
    assert not {"Traceback", "Keyboard"} & set(app.log.read_text().split())
    assert _left_in(tmp_path / "tmp") == []


def test_the_loopback_address_of_version_6_can_be_bound(tmp_path: Path) -> None:
    app, process = start_app(tmp_path, "tests/web/slow_app.py", "--host", "::1", address="[::1]")

    assert end(process) == 0, app.log.read_text()
