"""The HTML of the page's own parts: header, status line, viewer, overlay, people and downloads.

Pure functions from facts to markup; everything that is not ours is escaped. Addresses are relative, so that the page
works under a sub-path.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from demo.page import messages
from demo.storage import MOMENTS_NAME

if TYPE_CHECKING:
    from demo.runs import Outcome, RunOptions
    from human3r.video.probe import ClipInfo

_MARK = (
    '<svg class="h3-mark" viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="7.2" r="4.2"/>'
    '<path d="M16 13c-5 0-8 3.2-8 7.6V27h4.4v-6.2M16 13c5 0 8 3.2 8 7.6V27h-4.4v-6.2"/><path d="M3 30h26"/></svg>'
)
_EMPTY_PICTURE = (
    '<svg class="h3-ghost" viewBox="0 0 220 120" aria-hidden="true"><path d="M10 104h200M34 92h152M58 80h104M110 80v34'
    'M70 80 38 114M150 80l32 34"/><g><circle cx="88" cy="30" r="8"/><path d="M88 40v28m0-24-13 15m13-15 13 13M88 68l-9 '
    '25m9-25 9 24"/></g><g><circle cx="134" cy="26" r="8"/><path d="M134 36v29m0-25-12 14m12-14 14 11m-14 14-11 27m11'
    '-27 8 27"/></g></svg>'
)
_FILES = {
    "scene.glb": "animated people, camera and points: Blender, three.js, model viewers",
    "reconstruction.npz": "everything as arrays: SMPL-X parameters, cameras, points",
    "overlay.mp4": "the clip with its people drawn in",
    "scene.html": "this viewer as one file that opens without a network",
    "everything.zip": "all of these files",
    "bvh.zip": "a skeleton animation per person, for tools that read nothing newer",
    "amass.zip": "a SMPL-X motion per person, in AMASS's field names",
    "scene_static.glb": "the scene as a still, for viewers without animation",
    "points.ply": "the scene without people",
    "cameras.json": "path and intrinsics of every frame",
    "cameras_tum.txt": "the camera path as TUM RGB-D and evo read it",
    "colmap.zip": "the cameras as a COLMAP text model",
    "scene.viser": "the recording for any viser 1.1 client; one shape per person",
}
_NUM_MAIN_FILES = 5
"""Downloads that are buttons at once; the others are one click further, with what they are for."""


def header() -> str:
    """Return the title row."""
    return (
        f'<header class="h3-header">{_MARK}<div><h1>{messages.TITLE}</h1><p>{messages.TAGLINE}</p></div>'
        '<button type="button" class="h3-theme" data-h3="theme" aria-label="Switch between light and dark" '
        'title="Light or dark"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z'
        '"/></svg></button></header>'
    )


def clip_label() -> str:
    """Return the words over the upload."""
    return '<h2 class="h3-label">Your clip <small>video, GIF, image or zip of images</small></h2>'


def clip_line(
    clip: ClipInfo,
    frames: int,
    options: RunOptions,
    seconds_per_frame: float | None,
    peek: np.ndarray | None = None,
) -> str:
    """Return ``12.0 s, 1080x1920, rotated 90°; 60 frames at 5 fps; about 20 s``, a picture and the clip's warnings."""
    height, width = clip.image_size
    facts = [f"{clip.duration_s:.1f} s", f"{width}x{height}"]
    if clip.rotation_deg:
        facts.append(f"rotated {clip.rotation_deg}°")
    if clip.kind == "image":
        facts = ["one image", f"{width}x{height}"]
    fps = round(clip.fps if options.fps is None else min(options.fps, clip.fps), 2)
    parts = [
        ", ".join(facts),
        f"{messages.count(frames, 'frame')} at {fps:g} fps" if frames > 1 else "1 frame",
    ]
    if seconds_per_frame:
        parts.append(f"about {messages.duration(frames * seconds_per_frame + 2)}")
    if frames == options.max_frames and frames < clip.num_frames:
        parts[1] += f" of {clip.num_frames}"
    warnings = "".join(f'<p class="h3-warning">{escape(text)}</p>' for text in clip.warnings)
    picture = "" if peek is None else f'<img alt="A frame of the clip" src="{_data_url(peek)}">'
    return f'<div class="h3-peek">{picture}<p class="h3-facts">{escape("; ".join(parts))}</p></div>{warnings}'


def problem(sentence: str) -> str:
    """Return an error as one sentence that a screen reader announces."""
    return f'<p class="h3-problem" role="alert">{escape(sentence)}</p>'


def status(text: str, fraction: float | None = None, note: str | None = None, *, busy: bool = False) -> str:
    """Return the line over the viewer, with a bar while a run works."""
    if not text and not note:
        return ""
    bar = ""
    if busy:
        width = "" if fraction is None else f' style="width:{100 * fraction:.1f}%"'
        kind = "h3-bar h3-bar-unknown" if fraction is None else "h3-bar"
        bar = f'<div class="{kind}" role="progressbar" aria-label="Progress"><i{width}></i></div>'
    remark = f'<p class="h3-note">{escape(note)}</p>' if note else ""
    return f'<div class="h3-status" aria-live="polite"><p>{escape(text)}</p>{bar}</div>{remark}'


def empty_viewer() -> str:
    """Return the viewer's place before there is anything to see."""
    return (
        f'<div class="h3-viewer h3-empty">{_EMPTY_PICTURE}<h2>{messages.EMPTY_TITLE}</h2>'
        f"<p>{messages.EMPTY_TEXT}</p></div>"
    )


def working_viewer(text: str) -> str:
    """Return the viewer's place while there is no live viewer yet."""
    return f'<div class="h3-viewer h3-empty h3-working">{_EMPTY_PICTURE}<p>{escape(text)}</p></div>'


def live_viewer(token: str) -> str:
    """Return the live viewer of a run."""
    return f'<div class="h3-viewer">{_frame(f"./viewer/{token}/live/", "Live 4D viewer: the run while it grows")}</div>'


def recorded_viewer(outcome: Outcome) -> str:
    """Return the player of a finished run."""
    return (
        f'<div class="h3-viewer" data-h3="recording" data-token="{outcome.shelf.token}">'
        f"{_frame(_player_address(outcome), '4D viewer: people, scene and camera path over time')}</div>"
    )


def _player_address(outcome: Outcome) -> str:
    moments = "&moments=1" if MOMENTS_NAME in outcome.ready else ""
    return f"./viewer/{outcome.shelf.token}/play/?playbackPath=../scene.viser{moments}"


def _frame(address: str, title: str) -> str:
    return f'<iframe src="{escape(address)}" title="{escape(title)}" allow="fullscreen"></iframe>'


def preview(image: np.ndarray) -> str:
    """Return the current frame with its people as a picture inside the page (no file is written)."""
    return _side(f'<img alt="The current frame with the people found in it" src="{_data_url(image)}">')


def _data_url(image: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def overlay(outcome: Outcome) -> str:
    """Return the overlay video, locked to the viewer's timeline by ``page.js``; nothing when there is none."""
    if "overlay.mp4" not in outcome.ready:
        return ""
    height, width = outcome.image_size
    return _side(
        f'<video data-h3="overlay" data-fps="{outcome.fps:.6f}" src="./viewer/{outcome.shelf.token}/overlay.mp4" muted '
        f'playsinline preload="auto" width="{width}" height="{height}" tabindex="0" '
        'title="Drag to scrub, click to play" aria-label="The clip with its people drawn in, in step '
        'with the viewer"></video>'
    )


def _side(content: str) -> str:
    return f'<figure class="h3-side">{content}</figure>'


def result(outcome: Outcome, offered: tuple[str, ...]) -> str:
    """Return the downloads of a result, ``scene.glb`` first, and the link to it."""
    known = [name for name in _FILES if name in offered]
    token = outcome.shelf.token
    main = "".join(f"<li>{_download(token, name, is_first=name == known[0])}</li>" for name in known[:_NUM_MAIN_FILES])
    more = "".join(
        f"<dt>{_download(token, name)}</dt><dd>{escape(_FILES[name])}</dd>" for name in known[_NUM_MAIN_FILES:]
    )
    remarks = f'<p class="h3-remarks">{escape(" ".join(outcome.warnings))}</p>' if outcome.warnings else ""
    lives_s = outcome.shelf.lives_s
    life = "" if lives_s is None else f" (works for {messages.duration(lives_s)})"
    share = (
        f'<button type="button" class="h3-link" data-h3="copy" data-path="./?result={token}">Copy link{life}</button>'
    )
    return (
        f'<section class="h3-result"><div class="h3-downloads"><h2>Download</h2><ul>{main}</ul>{share}</div>'
        f'<details class="h3-more"><summary>More formats</summary><dl>{more}</dl></details>{remarks}</section>'
    )


def _download(token: str, name: str, *, is_first: bool = False) -> str:
    kind = ' class="h3-first"' if is_first else ""
    return (
        f'<a{kind} data-h3="download" href="./viewer/{token}/{escape(name)}?download=1" download="{escape(name)}" '
        f'title="{escape(_FILES[name])}">{escape(name)}</a>'
    )
