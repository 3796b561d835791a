"""``batch``: which clips there are, where their files go, what is done again, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from threading import Timer

import fsspec
import pytest
from synthetic_clips import noise_clip

from human3r import Reconstruction
from human3r.cli import build_parser, main
from human3r.commands.batch.clips import find_clips
from human3r.commands.batch.local import bytes_per_worker, fitting_workers, run_locally
from human3r.commands.batch.locations import Location
from human3r.commands.batch.tasks import ClipTask, finished_entry, run_task
from human3r.commands.run_settings import RunSettings
from human3r.errors import InputError
from human3r.memory import available_bytes

ROOT = Path(__file__).resolve().parents[3]
LONG_CLIP_FRAMES = 600
"""Too many to be finished between the start of a worker and its end by a signal."""
OPTIONS = ["--model", "tiny", "--device", "cpu", "--formats", "npz"]


def write_clip(path: Path, num_frames: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return noise_clip(path, num_frames)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def settings(*more: str) -> RunSettings:
    return RunSettings.of(build_parser().parse_args(["batch", "clips", "-o", "out", *OPTIONS, *more]))


def task(clip: Path, output: Path, *more: str) -> ClipTask:
    return ClipTask.of(Location.of(str(clip)), Location.of(str(output)), settings(*more))


def lines_of(output: Path) -> dict[str, dict]:
    document = json.loads((output / "batch.json").read_text())
    return {Path(line["clip"]).relative_to(output.parent).as_posix(): line for line in document["clips"]}


def test_a_folder_stands_for_the_clips_below_it(tmp_path):
    touch(tmp_path / "a" / "walk.mp4", tmp_path / "a" / "WALK.MOV", tmp_path / "a" / "poster.jpg")
    touch(tmp_path / "b" / "frames" / "1.png", tmp_path / "b" / "frames" / "2.png", tmp_path / "b" / "notes.txt")
    touch(tmp_path / "old" / "manifest.json", tmp_path / "old" / "overlay.mp4")
    touch(tmp_path / "out" / "x" / "overlay.mp4", tmp_path / ".trash" / "gone.mp4")
    found = find_clips([str(tmp_path)], Location.of(str(tmp_path / "out")))
    names = [Path(clip.path).relative_to(tmp_path).as_posix() for clip in found]
    assert names == ["a/WALK.MOV", "a/walk.mp4", "b/frames"]


def test_patterns_are_expanded_and_named_files_are_taken_as_they_are(tmp_path):
    touch(tmp_path / "a" / "1.mp4", tmp_path / "b" / "c" / "2.mp4", tmp_path / "odd[1].bin", tmp_path / "a" / "x.txt")
    arguments = [f"{tmp_path}/**/*.mp4", f"{tmp_path}/odd[1].bin", f"{tmp_path}/gone.mp4", f"{tmp_path}/a/1.mp4"]
    found = find_clips(arguments, Location.of(str(tmp_path / "out")))
    assert [Path(clip.path).name for clip in found] == ["1.mp4", "2.mp4", "odd[1].bin", "gone.mp4"]


@pytest.mark.parametrize(("argument", "pattern"), [("*.mp4", "matches nothing"), ("", "no clips in the given")])
def test_no_clips_are_an_error_before_anything_runs(argument, pattern, tmp_path):
    with pytest.raises(InputError, match=pattern):
        find_clips([f"{tmp_path}/{argument}"], Location.of(str(tmp_path / "out")))


def test_clips_of_one_name_have_folders_of_their_own(tmp_path):
    first, second = (task(tmp_path / name / "walk it.mp4", tmp_path / "out").output for name in ("a", "b"))
    assert first != second
    assert all(Path(folder).name.startswith("walk_it-") for folder in (first, second))
    assert task(tmp_path / "a" / "walk it.mp4", tmp_path / "out").output == first


def test_only_a_whole_result_of_the_same_clip_and_settings_is_finished(tmp_path):
    clip = write_clip(tmp_path / "walk.mp4")
    once = task(clip, tmp_path / "out")
    assert finished_entry(once) is None
    line = run_task(asdict(once))
    assert line["state"] == "done"
    assert line["frames"] == 2
    assert finished_entry(once) == line
    assert finished_entry(task(clip, tmp_path / "out", "--fps", "5")) is None
    result = Path(once.output) / "reconstruction.npz"
    content = result.read_bytes()
    result.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert finished_entry(once) is None
    result.write_bytes(content)
    assert finished_entry(once) == line
    write_clip(clip, num_frames=3)
    assert finished_entry(once) is None
    assert run_task(asdict(once))["frames"] == 3


def test_clips_and_results_may_be_remote(tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe_file("/shoot/walk.mp4", write_clip(tmp_path / "walk.mp4").read_bytes())
    (clip,) = find_clips(["memory://shoot"], Location.of("memory://results"))
    remote = ClipTask.of(clip, Location.of("memory://results"), settings())
    assert remote.output.startswith("memory://results/walk-") or remote.output.startswith("memory:///results/walk-")
    line = run_task(asdict(remote))
    assert line["state"] == "done", line
    assert finished_entry(remote) == line
    result = Location.of(remote.output).child("reconstruction.npz")
    result.files.pipe_file(result.path, result.read()[:-1])
    assert finished_entry(remote) is None


def test_a_killed_worker_costs_only_its_clip(tmp_path, monkeypatch):
    started: list[subprocess.Popen] = []
    popen = subprocess.Popen

    def recorded(command, **options):
        started.append(popen(command, **options))
        return started[-1]

    monkeypatch.setattr("human3r.commands.batch.local.subprocess.Popen", recorded)
    clips = write_clip(tmp_path / "long.mp4", LONG_CLIP_FRAMES), write_clip(tmp_path / "short.mp4")
    lines = run_locally([task(clip, tmp_path / "out") for clip in clips], num_workers=1)
    first = next_after(lambda: started[0].kill(), lines)
    assert first["state"] == "failed"
    assert "was killed" in first["error"]
    assert next(lines)["state"] == "done"
    lines.close()
    assert [process.poll() is not None for process in started] == [True, True]


def next_after(action, lines):
    """Return the next line; ``action`` runs meanwhile."""
    Timer(0.5, action).start()
    return next(lines)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_the_same_command_completes_a_killed_batch(tmp_path, capsys):
    write_clip(tmp_path / "a" / "walk.mp4")
    write_clip(tmp_path / "b" / "walk.mp4", LONG_CLIP_FRAMES)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "broken.mp4").write_text("no clip")
    output = tmp_path / "out"
    clips = [str(tmp_path / name) for name in "abc"]
    command = ["batch", *clips, "-o", str(output), *OPTIONS, "--workers", "1", "--max-frames", "16"]
    process = subprocess.Popen([sys.executable, "-m", "human3r", *command], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (output / "batch.json").exists() or lines_of(output)["a/walk.mp4"]["state"] != "done":
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lines_of(output)["b/walk.mp4"]["state"] == "waiting"

    assert main([*command, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["done"], printed["done_before"], printed["failed"]) == (2, 1, 1)
    lines = lines_of(output)
    assert {name: line["state"] for name, line in lines.items()} == {
        "a/walk.mp4": "done",
        "b/walk.mp4": "done",
        "c/broken.mp4": "failed",
    }
    assert "not a video or image" in lines["c/broken.mp4"]["error"]
    assert Reconstruction.load(Path(lines["b/walk.mp4"]["output"]) / "reconstruction.npz").num_frames == 16
    assert (output / "batch.csv").read_text().count("\n") == 4
    page = (output / "batch.html").read_text()
    assert "<title>Clips: 2 done, 1 failed</title>" in page
    assert "/reconstruction.npz" in page


def test_workers_need_memory_for_their_weights(tmp_path):
    least = bytes_per_worker(settings())
    assert all(bytes_per_worker(replace(settings(), model=name)) == least for name in ("auto", "compact", "gone.pth"))
    (tmp_path / "large.safetensors").write_bytes(bytes(1000))
    assert bytes_per_worker(replace(settings(), model=str(tmp_path / "large.safetensors"))) > least
    assert fitting_workers(settings()) >= 1


def test_free_memory_is_what_machine_and_container_allow(tmp_path):
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    for name, text in {
        "memory.max": "4000000",
        "memory.current": "3000000",
        "memory.stat": "anon 1\nfile 500000",
    }.items():
        (group / name).write_text(text)
    assert available_bytes(tmp_path) == 1_500_000


@pytest.mark.slow
def test_ray_runs_the_same_batch(tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed")
    write_clip(tmp_path / "a" / "walk.mp4")
    write_clip(tmp_path / "b" / "walk.mp4")
    command = ["batch", str(tmp_path), "-o", str(tmp_path / "out"), *OPTIONS, "--workers", "2", "--ray", "local"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 2
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done_before"] == 2
