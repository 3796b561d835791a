"""Temporary files end with their process, however it ends, and nobody else's are touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from human3r.atomic import whole_or_absent
from human3r.temporary import reclaim, temporary_file, temporary_folder
from human3r.video.writer import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
_HOLD = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from human3r.temporary import temporary_file, temporary_folder

with ExitStack() as stack:
    stack.enter_context(temporary_file(Path(sys.argv[1]) / "reconstruction.npz")).write_bytes(b"half")
    (stack.enter_context(temporary_folder(Path(sys.argv[1]))) / "clip.mp4").write_bytes(b"clip")
    print("ready", flush=True)
    time.sleep(600)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_no_file_is_left_after_success_or_failure(tmp_path: Path) -> None:
    with temporary_file(tmp_path / "a.npz") as file, temporary_folder(tmp_path) as folder:
        (folder / "deep").mkdir()
        assert file.name.endswith("-a.npz")
        assert len(names(tmp_path)) == 2
    with pytest.raises(KeyboardInterrupt), whole_or_absent(tmp_path / "b.npz"):
        raise KeyboardInterrupt
    writer = VideoWriter(tmp_path / "c.mp4", 10)
    writer.append(np.zeros((16, 16, 3), np.uint8))
    writer.abort()
    assert names(tmp_path) == []


def test_a_killed_process_leaves_what_the_next_one_reclaims(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    (tmp_path / "reconstruction.npz").write_bytes(b"somebody else's")

    assert reclaim(tmp_path) == 0
    assert len(names(tmp_path)) == 3
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert reclaim(tmp_path) == 2
    assert names(tmp_path) == ["reconstruction.npz"]


def test_links_and_files_in_use_stay(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with temporary_folder(outside, is_hidden=True) as used:
        (outside / ".human3r-link").symlink_to(tmp_path)
        assert reclaim(outside) == 0
        assert used.is_dir()
    assert names(outside) == [".human3r-link"]
    assert reclaim(tmp_path / "absent") == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_command_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    code = """
import signal, sys, time
# As in a terminal, whoever started the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from human3r.results.reconstruction import Reconstruction
from human3r.commands import results
from human3r.cli import main

def stuck(options):
    from human3r.atomic import whole_or_absent
    from pathlib import Path
    with whole_or_absent(Path(options.output)) as temporary:
        print("ready", flush=True)
        time.sleep(600)

results.export = stuck
sys.exit(main(["export", "a", "-o", sys.argv[1]]))
"""
    command = [sys.executable, "-c", code, tmp_path / "a.npz"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(names(tmp_path)) == 1
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "human3r: interrupted.\n")
    assert names(tmp_path) == []
