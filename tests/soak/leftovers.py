"""Kill the command and the server at random moments: every visible file is whole, and the next start leaves nothing.

    python tests/soak/leftovers.py --command 50 --server 50

Prints one JSON object; exit code 1 if a visible file of a killed process is not whole, or if anything of the killed
processes is left after one more start: in the result folder or among the temporary files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path

from visitors import start_server, write_clip

from human3r.errors import Human3RError
from human3r.results.reconstruction import Reconstruction

_ROOT = Path(__file__).resolve().parents[2]
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_FORMATS = "npz,glb,json,ply,bvh,viser"
_LATEST_S = 4.0
"""Longest time from the submission of a clip to the kill of the server."""


def is_whole(path: Path) -> bool:
    """Return whether a file is what its ending says, from the first byte to the last."""
    content = path.read_bytes()
    if path.name == "reconstruction.npz":
        with suppress(Human3RError):
            return Reconstruction.load(path).num_frames > 0
        return False
    if path.suffix == ".npz":  # zip: its directory lies at the end
        return zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip() is None
    if path.suffix == ".json":
        with suppress(ValueError):
            return bool(json.loads(content))
        return False
    if path.suffix == ".glb":
        return content[:4] == b"glTF" and struct.unpack_from("<I", content, 8)[0] == len(content)
    return len(content) > 0


def visible_files(folder: Path) -> list[Path]:
    """Return the files that a user sees."""
    found = folder.rglob("*") if folder.is_dir() else iter(())
    return [path for path in found if path.is_file() and not any(part.startswith(".") for part in path.parts)]


def hidden_names(folder: Path) -> list[str]:
    """Return the names of hidden files and folders."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")] if folder.is_dir() else []


def kill_commands(folder: Path, num_kills: int, chance: random.Random) -> dict[str, object]:
    """Kill ``reconstruct`` again and again, then let it end."""
    temporary, output = folder / "tmp", folder / "out"
    temporary.mkdir(parents=True)
    write_clip(folder / "clip.mp4", 96, num_frames=20)
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "human3r", "reconstruct", str(folder / "clip.mp4"), "--model", "tiny"]
    command += ["-o", str(output), "--formats", _FORMATS]
    started_s = time.monotonic()
    subprocess.run(command, cwd=_ROOT, env=environment, check=True, capture_output=True)
    whole_s = time.monotonic() - started_s
    expected = sorted(path.name for path in output.rglob("*") if path.is_file())
    num_broken, num_leftovers = 0, 0
    for _ in range(num_kills):
        process = subprocess.Popen(
            command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.2, 1.0) * whole_s)
        process.kill()
        process.wait()
        num_broken += sum(not is_whole(path) for path in visible_files(output))
        num_leftovers += len(hidden_names(output)) + len(list(temporary.iterdir()))
    subprocess.run(command, cwd=_ROOT, env=environment, check=True, capture_output=True)
    left = [*hidden_names(output), *(path.name for path in temporary.iterdir())]
    is_complete = sorted(path.name for path in output.rglob("*") if path.is_file()) == expected
    return {"kills": num_kills, "broken": num_broken, "leftovers": num_leftovers, "left": left, "whole": is_complete}


def kill_servers(folder: Path, num_kills: int, chance: random.Random) -> dict[str, object]:
    """Kill the server again and again while a clip is uploaded or reconstructed, then start and stop it once more."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    write_clip(folder / "clip.mp4", 96, num_frames=40)
    num_broken, num_leftovers = 0, 0
    for _ in range(num_kills):
        process, url = start_server(temporary)
        threading.Thread(target=_submit, args=(url, folder / "clip.mp4"), daemon=True).start()
        time.sleep(chance.uniform(0, _LATEST_S))
        process.kill()
        process.wait()
        # Directly in the folder of uploads lie empty files of the parser.
        results = [path for path in visible_files(temporary) if path.parent.parent.name.startswith("human3r-tmp-")]
        num_broken += sum(not is_whole(path) for path in results)
        num_leftovers += sum(path.is_file() for path in temporary.rglob("*"))
    process, _ = start_server(temporary)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    left = [path.name for path in temporary.rglob("*") if path.is_file() or "human3r" in path.name]
    return {"kills": num_kills, "broken": num_broken, "leftovers": num_leftovers, "left": left, "whole": code == 0}


def _submit(url: str, clip: Path) -> None:
    from gradio_client import Client, handle_file

    with suppress(Exception):  # the server is killed meanwhile
        client = Client(url, verbose=False, download_files=False)
        client.submit(handle_file(str(clip)), api_name="/reconstruct").result()


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--command", type=int, default=50, help="kills of the command (%(default)s)")
    parser.add_argument("--server", type=int, default=50, help="kills of the server (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    report = {}
    with tempfile.TemporaryDirectory() as name:
        if options.command:
            report["command"] = kill_commands(Path(name) / "command", options.command, chance)
        if options.server:
            report["server"] = kill_servers(Path(name) / "server", options.server, chance)
    print(json.dumps(report))
    return 1 if any(part["broken"] or part["left"] or not part["whole"] for part in report.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
