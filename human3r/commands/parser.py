"""The command line; ``run`` names the function of this package that executes a command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from human3r import __version__

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]
_DEVICES = ("auto", "cpu", "cuda", "mps")
_MODEL_HELP = "compact, a released name (see 'models list'), a .safetensors or .pth path, or auto (%(default)s)"
_WEAR_HELP = "color people by identity, or as in the clip (%(default)s)"
_POINTS_HELP = "show the scene's points beside its surface"
_FORMATS_HELP = "comma-separated names such as npz,glb,mp4; an unknown name lists all"
_BODY_HELP = "licensed SMPLX_NEUTRAL.npz (default: the embedded body)"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="human3r", description="People, scene and camera in 4D from one ordinary video.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"human3r {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_reconstruct(commands)
    _add_batch(commands)
    _add_live(commands)
    _add_result_commands(commands)
    _add_models(commands)
    _add_measuring(commands)
    _add_training(commands)
    return parser


def _command(commands: _Commands, name: str, run: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", choices=_DEVICES, help="where to run (%(default)s)")


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "mixed16", "mixed", "fp16", "bf16"),
        help="arithmetic of the network, from exact to fast (%(default)s)",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on standard output")


def _add_reconstruct(commands: _Commands) -> None:
    parser = _command(commands, "reconstruct", "run.reconstruct", "turn one clip into a 4D scene")
    parser.add_argument("clip", metavar="CLIP", help="video, GIF, image, folder of images or zip of images")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the files (default: out/NAME)")
    _add_run_settings(parser)
    parser.add_argument(
        "--keep-in",
        type=Path,
        metavar="DIR",
        help="save the state of the run in this folder: after a stop or a crash the same command resumes it",
    )
    parser.add_argument(
        "--snapshot-every",
        type=int,
        default=100,
        metavar="N",
        help="with --keep-in: frames between two saves (%(default)s)",
    )
    _add_json(parser)


def _add_batch(commands: _Commands) -> None:
    parser = _command(
        commands,
        "batch",
        "batch.command.batch",
        "turn many clips into 4D scenes; the same command resumes after a stop",
    )
    parser.add_argument(
        "clips",
        metavar="CLIP",
        nargs="+",
        help="a clip, a pattern such as 'shoot/**/*.mp4', a folder to search, or an fsspec URL of these",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        required=True,
        help="folder (path or fsspec URL) for a folder per clip, and batch.json",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="clips in parallel (default: as many as cores and free memory allow)"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="run on the Ray cluster at this address; 'local' starts one on this machine"
    )
    _add_run_settings(parser)
    _add_json(parser)


def _add_run_settings(parser: argparse.ArgumentParser) -> None:
    """Add the fields of ``RunSettings``."""
    parser.add_argument("--model", default="auto", help=_MODEL_HELP)
    parser.add_argument("--body", metavar="PATH", help=_BODY_HELP)
    _add_device(parser)
    _add_precision(parser)
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="skip the first S seconds")
    parser.add_argument("--duration", type=float, metavar="S", help="use only S seconds")
    parser.add_argument("--fps", type=float, metavar="F", help="use only F frames per second (default: all)")
    parser.add_argument("--max-frames", type=int, metavar="N", help="use at most N frames")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="raise a limit on the clip, for example duration_s=200000; an unknown name lists all",
    )
    parser.add_argument("--use-ttt3r", action="store_true", default=None, help="gate state updates, for long clips")
    parser.add_argument("--reset-interval", type=int, metavar="N", help="reset the state every N frames; 0: never")
    parser.add_argument("--no-cuts", dest="cuts", action="store_false", help="treat the clip as one shot")
    parser.add_argument(
        "--rotate",
        type=int,
        choices=(0, 90, 180, 270),
        help="rotate the clip clockwise, degrees; 0 leaves it as it is (default: so that nearly all people stand)",
    )
    parser.add_argument("--save-depth", action="store_true", help="store a depth map per frame in reconstruction.npz")
    parser.add_argument(
        "--one-world", action="store_true", help="make people stand on the scene also with a released network"
    )
    parser.add_argument("--formats", metavar="LIST", help=_FORMATS_HELP)
    parser.add_argument("--points", action="store_true", help=_POINTS_HELP)
    _add_people_colors(parser)
    parser.add_argument(
        "--compile", action="store_true", help="compile a network of the paper: takes minutes, for long clips on a GPU"
    )


def _add_people_colors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people-colors", choices=("identity", "clip"), default="identity", help=_WEAR_HELP)


def _add_live(commands: _Commands) -> None:
    parser = _command(commands, "live", "live.live", "process a camera, a stream, or a file in real time")
    parser.add_argument(
        "source", metavar="SOURCE", help="a camera's number or device, an rtsp:// or http:// address, or a file"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="keep the result in this folder")
    parser.add_argument("--formats", metavar="LIST", help=f"with -o; {_FORMATS_HELP}")
    parser.add_argument("--no-view", dest="view", action="store_false", help="open no viewer")
    parser.add_argument("--port", type=int, default=8080, help="port of the viewer; 0: any free one (%(default)s)")
    parser.add_argument("--duration", type=float, metavar="S", help="stop after S seconds")
    parser.add_argument(
        "--budget",
        type=float,
        default=80.0,
        metavar="MS",
        help="time per frame above which crops of still people, scene, surface and hands are skipped (%(default)s ms)",
    )
    parser.add_argument("--no-cuts", dest="cuts", action="store_false", help="treat the stream as one shot")
    parser.add_argument("--model", default="auto", help=_MODEL_HELP)
    parser.add_argument("--body", metavar="PATH", help=_BODY_HELP)
    _add_device(parser)
    _add_precision(parser)
    _add_json(parser)


def _add_result_commands(commands: _Commands) -> None:
    parser = _command(commands, "view", "results.view", "open a saved reconstruction in the live viewer")
    parser.add_argument("path", metavar="DIR_OR_NPZ", type=Path, help="folder of a reconstruction, or its npz")
    parser.add_argument("--body", metavar="PATH", help=_BODY_HELP)
    parser.add_argument("--port", type=int, default=8080, help="local port; 0: any free one (%(default)s)")
    parser = _command(commands, "export", "results.export", "write a saved reconstruction in another format")
    parser.add_argument("path", metavar="NPZ", type=Path, help="folder of a reconstruction, or its npz")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help="file whose ending selects the format; a folder with --formats",
    )
    parser.add_argument("--formats", metavar="LIST", help=f"write these into the folder; {_FORMATS_HELP}")
    parser.add_argument("--body", metavar="PATH", help=_BODY_HELP)
    parser.add_argument(
        "--clip", metavar="CLIP", type=Path, help="the source clip: needed for .mp4, and for what its run did not keep"
    )
    parser.add_argument("--points", action="store_true", help=_POINTS_HELP)
    _add_people_colors(parser)
    parser.add_argument("--person", metavar="ID", type=int, help="only this identity, without the scene")


def _add_models(commands: _Commands) -> None:
    group = commands.add_parser("models", help="list, download, convert and verify weights", allow_abbrev=False)
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_json(_command(actions, "list", "models.list_models", "known models, their licenses, and which are installed"))
    parser = _command(actions, "download", "models.download", "download released weights from the Hugging Face hub")
    parser.add_argument("name", metavar="NAME", help="human3r_672s, human3r_672b, human3r_672l or human3r_896l")
    parser.add_argument("--revision", metavar="COMMIT", help="commit of the repository, 40 hexadecimal digits")
    parser = _command(actions, "convert", "models.convert", "convert a released .pth to .safetensors")
    parser.add_argument("checkpoint", metavar="PTH", type=Path)
    parser.add_argument("-o", "--output", metavar="SAFETENSORS", type=Path, required=True)
    parser = _command(actions, "verify", "models.verify", "verify the files of a model")
    parser.add_argument("name", metavar="NAME")
    _add_json(parser)


def _add_measuring(commands: _Commands) -> None:
    parser = _command(commands, "benchmark", "benchmark.benchmark", "measure speed and memory on this machine")
    parser.add_argument(
        "--model", default="auto", help=f"{_MODEL_HELP}; networks of the paper without weights run with random ones"
    )
    parser.add_argument("--frames", type=int, default=30, metavar="N", help="frames to time (%(default)s)")
    parser.add_argument("--warmup", type=int, default=3, metavar="N", help="untimed frames at the start (%(default)s)")
    parser.add_argument("--size", default="640x360", metavar="WxH", help="size of the source frames (%(default)s)")
    parser.add_argument("--clip", type=Path, metavar="CLIP", help="measure on this clip instead of a generated pattern")
    parser.add_argument("--people", type=int, metavar="P", help="detect P people per frame (random weights only)")
    parser.add_argument(
        "--against",
        choices=("plain", "reference"),
        help="compare a network of the paper, with random weights, with an fp32 one that computes everything: by plain "
        "formulas, or with fused attention like the released code",
    )
    parser.add_argument("--flops", action="store_true", help="print the operations per frame and part")
    parser.add_argument("--table", type=Path, nargs="+", metavar="JSON", help="print saved reports as a Markdown table")
    _add_device(parser)
    _add_precision(parser)
    _add_json(parser)


def _add_training(commands: _Commands) -> None:
    parser = _command(commands, "train", "training.train", "train a network, or resume")
    parser.add_argument("config", metavar="CONFIG", type=Path, help="a .toml of human3r/training/configs")
    parser.add_argument(
        "--count", action="store_true", help="only print the numbers of trained and frozen parameters (stage paper)"
    )
    parser = _command(commands, "evaluate", "evaluate.evaluate", "run a benchmark")
    parser.add_argument(
        "benchmark",
        metavar="BENCHMARK",
        help="3dpw, emdb1, emdb2, rich, bedlam, sintel-depth, bonn, kitti, tum-depth, sintel-pose, tum-pose, scannet "
        "or synthetic",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="the data set, in its public layout")
    parser.add_argument("--miniature", action="store_true", help="use a few generated frames instead")
    parser.add_argument(
        "--bodies", metavar="DIR", type=Path, help="folder of the licensed body files, for benchmarks of people"
    )
    parser.add_argument(
        "--reference",
        metavar="LIST",
        help="known defects of the public evaluation to reproduce as well: all, or names among gender-slot, "
        "spectral-matching, adam-shift, rounded-means",
    )
    parser.add_argument("--report", action="store_true", help="also write report.html: tables, plots, worst frames")
    parser.add_argument("--model", default="auto", help=_MODEL_HELP)
    parser.add_argument("--body", type=Path, metavar="BODY", help=_BODY_HELP)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: evaluation/BENCHMARK_MODEL)"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="frames per sequence instead of the protocol's number")
    parser.add_argument("--max-sequences", type=int, metavar="N", help="use only the first N sequences")
    _add_device(parser)
    _add_precision(parser)
    _add_json(parser)
    parser = commands.add_parser(
        "synth", help="render synthetic clips with exact truth ('synth --help' lists its options)", add_help=False
    )
    parser.set_defaults(run="training.synth")
