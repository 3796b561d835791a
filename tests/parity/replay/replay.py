"""Finds what a golden folder holds and replays all of it.

A folder may hold recorded networks (``meta.json`` with run files), recorded functions (``fn_*.safetensors``), key lists
(``state_dict_<variant>.json``), or sub-folders with any of them; sizes, salts, clips and numbers of runs are read from
the files.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from human3r.errors import FormatError, InputError
from tests.parity.replay.body_replay import replay_bodies
from tests.parity.replay.maths_replay import replay_maths
from tests.parity.replay.network_replay import RunResult, load_clip, replay_run
from tests.parity.replay.post_replay import replay_parameter_files, replay_post
from tests.parity.replay.preprocess_replay import replay_preprocess
from tests.parity.replay.release_replay import replay_release_keys
from tests.parity.replay.rows import ParityRow, RowCollector
from tests.parity.replay.synthetic_body import synthetic_body
from tests.parity.replay.tracking_replay import replay_tracking
from tests.parity.replay.weights import RecordedWeights, read_json

_POST, _PARAMETERS = "_post", "_smplx_json"


def run_parity(folder: Path | str, device: torch.device | str = "cpu") -> list[ParityRow]:
    """Replay a golden folder.

    Args:
        folder: The folder, or any of its sub-folders.
        device: Where the recorded networks are run; functions run on the CPU, and so does ``auto``: the recordings
            were made there.

    Returns:
        One row per group of tensors; a tensor that is missing, unknown or of a wrong shape fails its row.

    Raises:
        InputError: The folder does not exist or holds nothing of the kind.
        FormatError: A file of the folder is damaged or missing.
        CheckpointError: A recorded network is not of a kind that we implement.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder.name} is no folder.", "Give a golden folder.")
    device = torch.device("cpu" if device == "auto" else device)
    rows: list[ParityRow] = []
    for inner in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
        prefix = "" if inner == folder else f"{inner.relative_to(folder).as_posix()}/"
        try:
            # Convolutions on a GPU are TF32 by default: a thousand times the error that is looked for.
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                rows += _replay_network(inner, prefix, device)
            rows += _replay_functions(inner, prefix)
            rows += _replay_release_keys(inner, prefix)
        except (SafetensorError, KeyError) as error:
            raise FormatError(f"A file of {inner.name} is damaged or incomplete ({error!r}).") from error
    if not rows:
        raise InputError(f"{folder.name} holds no recorded numbers.", "Give a folder of the golden layout.")
    return rows


def _replay_network(folder: Path, prefix: str, device: torch.device) -> list[ParityRow]:
    """Replay every run of a recorded network, then what was made of it."""
    if not (folder / "meta.json").is_file():
        return []
    rows = RowCollector(f"{prefix}meta")
    weights = RecordedWeights(folder)
    weights.check(rows)
    clip = load_clip(folder, weights.meta, rows)
    collected = rows.rows
    runs = [path for path in sorted(folder.glob("run*.safetensors")) if not path.stem.endswith(_POST)]
    replayed: set[Path] = set()
    for path in sorted(runs, key=lambda run: "half" in run.stem):
        collector = RowCollector(f"{prefix}{path.stem}")
        result = replay_run(path, weights, clip, device, collector)
        collected += collector.rows
        name = path.stem.split("_")[0]
        post, parameters = folder / f"{name}{_POST}.safetensors", folder / f"{name}{_PARAMETERS}.json"
        if "half" not in path.stem and post not in replayed:
            collected += _replay_after(post, parameters, result, weights, prefix)
            replayed.update((post, parameters))
    left = [path.name for path in sorted(folder.glob("run*")) if path not in replayed and path not in runs]
    unknown = RowCollector(f"{prefix}files")
    for name in left:
        unknown.fail(name, "no run belongs to this file")
    return collected + unknown.rows


def _replay_after(
    post: Path, parameters: Path, result: RunResult, weights: RecordedWeights, prefix: str
) -> list[ParityRow]:
    """Replay the two files that the reference makes of a run, where they exist."""
    rows: list[ParityRow] = []
    with torch.inference_mode():
        if post.is_file():
            size = weights.meta["runs"][post.stem.removesuffix(_POST)].get("post_orig_hw")
            collector = RowCollector(f"{prefix}{post.stem}")
            body, _ = synthetic_body()
            replay_post(load_file(post), result, body, None if size is None else (size[0], size[1]), collector)
            rows += collector.rows
        if parameters.is_file():
            collector = RowCollector(f"{prefix}{parameters.stem}")
            body, _ = synthetic_body()
            replay_parameter_files(read_json(parameters), result, body, collector)
            rows += collector.rows
    return rows


def _replay_functions(folder: Path, prefix: str) -> list[ParityRow]:
    """Replay the function files that are there."""
    rows: list[ParityRow] = []
    for path in sorted(folder.glob("fn_*.safetensors")):
        collector = RowCollector(f"{prefix}{path.stem}")
        tensors = load_file(path)
        kind = path.stem.split("_")[1]
        with torch.inference_mode():
            if kind == "maths":
                replay_maths(tensors, collector)
            elif kind == "preprocess":
                replay_preprocess(tensors, _cases(path), collector)
            elif kind == "smplx":
                replay_bodies(tensors, *synthetic_body(), collector)
            elif kind == "tracking":
                replay_tracking(tensors, read_json(path.with_suffix(".json")), collector)
            else:
                collector.fail(path.name, "unknown to the replay")
        rows += collector.rows
    return rows


def _cases(path: Path) -> list[dict]:
    cases = read_json(path.with_name(f"{path.stem}_cases.json"))
    return list(cases.values()) if isinstance(cases, dict) else cases


def _replay_release_keys(folder: Path, prefix: str) -> list[ParityRow]:
    collector = RowCollector(f"{prefix}release_keys")
    for path in sorted(folder.glob("state_dict_*.json")):
        if path.stem != "state_dict_keys":
            replay_release_keys(path, collector)
    return collector.rows
