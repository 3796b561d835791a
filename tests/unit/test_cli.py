"""The command line: exit codes, messages, JSON, and files, with the tiny model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from synthetic_clips import noise_clip

from human3r import Reconstruction
from human3r.cli import build_parser, main
from human3r.video.writer import VideoWriter

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED_CLIP_FRAMES = 600
"""Too many to be finished between the first one and the arrival of the signal."""
KILLED_AT_THE_LAST_FRAME = """
import os, signal, sys
from human3r.cli import main
from human3r.commands.run import Progress

add = Progress.add

def add_until(self, prediction):
    add(self, prediction)
    if prediction.frame_index == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Progress.add = add_until
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return noise_clip(tmp_path_factory.mktemp("clip") / "noise.mp4", 3)


def test_reconstruct_writes_the_wanted_files_and_prints_one_json_object(clip, tmp_path, capsys):
    arguments = ["reconstruct", str(clip), "-o", str(tmp_path / "out"), "--model", "tiny"]
    code = main([*arguments, "--formats", "npz,json", "--max-frames", "2", "--json"])
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert code == 0
    assert summary["frames"] == 2
    assert set(summary) >= {"frames", "people", "fps", "seconds", "warnings", "files", "model"}
    assert sorted(summary["files"]) == ["cameras.json", "manifest.json", "reconstruction.npz"]
    assert Reconstruction.load(tmp_path / "out" / "reconstruction.npz").num_frames == 2
    assert "2/2" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "pattern"),
    [
        (["reconstruct", "gone.mp4", "--model", "tiny"], 2, "no file 'gone.mp4'"),
        (["reconstruct", "{clip}", "--model", "unheard-of"], 2, "model 'unheard-of' is unknown"),
        (["reconstruct", "{clip}", "--model", "gone.pth"], 1, "no weight file"),
        (["reconstruct", "{clip}", "--model", "tiny", "--formats", "npz,fbx"], 2, "Unknown format fbx"),
        (["reconstruct", "{clip}", "--model", "tiny", "--fps", "-3"], 2, "fps is -3.0; it must be more than 0"),
        (["reconstruct", "{clip}", "--model", "tiny", "--start", "9"], 2, "after the end of the clip"),
        (["reconstruct", "{clip}", "--model", "tiny", "--body", "gone.npz"], 1, "gone.npz"),
        (["reconstruct", "{clip}", "--model", "tiny", "-o", "{clip}/x"], 2, "cannot be created"),
        (["reconstruct", "{text}", "--model", "tiny"], 2, "not a video or image"),
        (["reconstruct", "{dot}", "--model", "tiny"], 2, "A frame has 2 x 2 pixels; at least 16"),
        (["models", "download", "nope"], 2, "Choose human3r_672s, human3r_672b, human3r_672l, human3r_896l."),
        (["reconstruct", "https://a/b.mp4", "--model", "tiny"], 2, "nothing is downloaded"),
        (
            ["reconstruct", "{clip}", "--model", "tiny", "--limit", "num_frames=2"],
            2,
            "per second. Or raise the limit with --limit NAME=",
        ),
        (["reconstruct", "{clip}", "--model", "tiny", "--limit", "speed=2"], 2, "one of file_bytes, frame_pixels"),
        (["view", "gone"], 2, "no file 'gone'"),
        (["export", "{text}", "-o", "a.glb"], 2, "not a reconstruction"),
        (["models", "verify", "nothing"], 2, "model 'nothing' is unknown"),
        (["models", "convert", "gone.pth", "-o", "a.safetensors"], 2, "no file 'gone.pth'"),
        (["models", "convert", "{text}", "-o", "a.safetensors"], 1, "not a zip-format PyTorch checkpoint"),
        (["benchmark", "--size", "wide"], 2, "not of the form 640x360"),
        (["benchmark", "--model", "tiny", "--frames", "0"], 2, "must be 1 or more"),
        (["train", "gone.toml"], 2, "no file 'gone.toml'"),
        (["evaluate", "nothing", "--data", "."], 2, "does not exist"),
    ],
)
def test_user_errors_are_one_sentence_with_the_right_exit_code(
    arguments, code, pattern, clip, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path))
    text = tmp_path / "text.mp4"
    text.write_text("#EXTM3U\nfile:///etc/passwd\n")
    dot = tmp_path / "dot.mp4"
    with VideoWriter(dot, fps=10) as writer:
        writer.append(np.zeros((2, 2, 3), np.uint8))
    filled = [part.format(clip=clip, text=text, dot=dot) for part in arguments]
    assert main(filled) == code
    printed = capsys.readouterr()
    assert pattern in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_a_second_run_into_a_folder_removes_the_files_of_the_first(clip, tmp_path, capsys):
    arguments = ["reconstruct", str(clip), "-o", str(tmp_path), "--model", "tiny", "--max-frames", "2", "--formats"]
    assert main([*arguments, "npz,ply,tum"]) == 0
    (tmp_path / "notes.txt").write_text("mine")
    assert main([*arguments, "npz,json"]) == 0
    files = ["cameras.json", "manifest.json", "notes.txt", "reconstruction.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    ("name", "fake", "code", "pattern"),
    [
        (
            "tempfile.TemporaryFile",
            PermissionError(13, "Permission denied"),
            2,
            "cannot be written (Permission",
        ),
        ("shutil.disk_usage", SimpleNamespace(free=7_000_000), 1, "has 7 MB free; a run needs 50 MB"),
        (
            "load_model",
            PermissionError(13, "Permission denied", "w.pth"),
            1,
            "'w.pth' cannot be used (Permission",
        ),
    ],
)
def test_file_errors_are_one_sentence_before_the_first_frame(
    name, fake, code, pattern, clip, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(f"human3r.commands.run_settings.{name}", Mock(side_effect=[fake]))
    assert main(["reconstruct", str(clip), "-o", str(tmp_path / "out"), "--model", "tiny"]) == code
    message = capsys.readouterr().err
    assert pattern in message
    assert "internal error" not in message


def test_a_missing_temporary_folder_is_one_sentence(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert main(["reconstruct", str(clip), "-o", str(tmp_path / "out"), "--model", "tiny"]) == 1
    assert "Set TMPDIR" in capsys.readouterr().err


def test_missing_released_weights_are_reported_with_their_source(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path))
    assert main(["reconstruct", str(clip), "--model", "human3r_896l", "-o", str(tmp_path / "o")]) == 1
    message = capsys.readouterr().err
    assert "models download human3r_896l" in message
    assert "faneggg/human3r" in message


@pytest.mark.parametrize(
    "arguments", [[], ["unheard-of"], ["reconstruct"], ["reconstruct", "a", "--device", "tpu"], ["view", "a", "--what"]]
)
def test_wrong_usage_exits_with_two(arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_models_list_names_every_model_with_its_license(capsys):
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {"compact", "tiny", "human3r_672s", "human3r_672b", "human3r_672l", "human3r_896l"}
    assert rows["compact"]["is_here"]
    assert "non-commercial" in rows["human3r_672s"]["license"]
    assert "bf16, fp16 and mixed exceed them" in rows["human3r_672s"]["precision"]


def test_verify_checks_the_embedded_files(capsys):
    assert main(["models", "verify", "compact", "--json"]) == 0
    assert "as indexed" in json.loads(capsys.readouterr().out)["result"]


def test_a_damaged_download_is_refused_by_verify(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HUMAN3R_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "human3r_672S.pth").write_bytes(b"not the weights")
    assert main(["models", "verify", "human3r_672s"]) == 1
    assert "expected 84d2a70386473b58" in capsys.readouterr().err


def test_a_saved_result_is_exported_by_the_files_ending(walk, tmp_path, monkeypatch, small_body, capsys):
    walk.save(tmp_path / "reconstruction.npz")
    monkeypatch.setattr("human3r.exporting.bundle.open_body", lambda path: small_body)
    monkeypatch.setattr(small_body, "name", "none-such", raising=False)
    # The walk says which body it was made with; another one is refused.
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "p.ply")]) == 2
    assert "was made with the body" in capsys.readouterr().err
    monkeypatch.setattr(small_body, "name", walk.meta["body"], raising=False)
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "p.ply")]) == 0
    assert (tmp_path / "p.ply").read_bytes().startswith(b"ply")


def test_every_command_has_a_function():
    from importlib import import_module

    parser = build_parser()
    minimal = [
        ["reconstruct", "a"],
        ["view", "a"],
        ["export", "a", "-o", "b"],
        ["models", "list"],
        ["models", "download", "a"],
        ["models", "convert", "a", "-o", "b"],
        ["models", "verify", "a"],
        ["benchmark"],
        ["train", "a"],
        ["evaluate", "a", "--data", "b"],
        ["synth"],
    ]
    for arguments in minimal:
        module, function = parser.parse_args(arguments).run.rsplit(".", 1)
        assert callable(getattr(import_module(f"human3r.commands.{module}"), function))


def interrupted(folder, bar, *command):
    """Run a command over a long clip, press Ctrl-C once its bar shows a pattern, and return what it prints."""
    clip = noise_clip(folder / "long.mp4", INTERRUPTED_CLIP_FRAMES)
    options = ["--model", "tiny", "-o", str(folder / "out"), "--formats", "npz", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "human3r", *command, str(clip), *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    seen = ""
    while not re.search(bar, seen):
        piece = process.stderr.read(1)
        assert piece, seen
        seen += piece
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    return json.loads(output)


def test_an_interrupt_keeps_the_frames_so_far_and_exits_with_130(tmp_path):
    summary = interrupted(tmp_path, rf"\b[1-9]\d*/{INTERRUPTED_CLIP_FRAMES}\b", "reconstruct")
    assert 0 < summary["frames"] < INTERRUPTED_CLIP_FRAMES
    assert Reconstruction.load(tmp_path / "out" / "reconstruction.npz").num_frames == summary["frames"]


def test_an_interrupted_live_run_keeps_its_frames(tmp_path):
    report = interrupted(tmp_path, r"\b[1-9]\d*frame", "live", "--no-view")
    assert report["processed"] >= 1
    assert Reconstruction.load(tmp_path / "out" / "reconstruction.npz").num_frames >= 1


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_the_same_command_resumes_after_a_kill(clip, tmp_path, capsys):
    def command(name):
        return ["reconstruct", str(clip), "--model", "tiny", "-o", str(tmp_path / name), "--formats", "npz", "--json"]

    kept = ["--keep-in", str(tmp_path / "run"), "--snapshot-every", "2"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_LAST_FRAME, *command("out"), *kept],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "out" / "reconstruction.npz").exists()
    assert (tmp_path / "run" / "snapshot.safetensors").exists()
    assert main([*command("out"), *kept]) == 0
    bar = capsys.readouterr().err
    assert "2/3" in bar
    assert "0/3" not in bar
    assert main(command("unbroken")) == 0
    assert not (tmp_path / "run").exists()
    found, expected = (Reconstruction.load(tmp_path / name / "reconstruction.npz") for name in ("out", "unbroken"))
    assert found.frame_index.tolist() == [0, 1, 2]
    assert np.allclose(found.T_world_camera, expected.T_world_camera, atol=1e-5)
    assert np.allclose(found.joints_world, expected.joints_world, atol=1e-5)


def test_live_plays_a_file_and_prints_one_json_object(clip, tmp_path, capsys):
    arguments = ["live", str(clip), "--no-view", "--json", "--model", "tiny", "-o", str(tmp_path / "out")]
    code = main([*arguments, "--formats", "npz,json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["offered"] == 3
    assert report["processed"] + report["dropped"] == 3
    assert {"fps", "latency_median_s", "latency_p95_s"} <= report.keys()
    result = Reconstruction.load(tmp_path / "out" / "reconstruction.npz")
    assert result.num_frames == report["processed"]
    assert "manifest.json" in report["files"]
