"""The HTML of the page: header, status line, viewer, overlay and downloads.

Pure functions from values to markup; all foreign text is escaped. Addresses are relative, so that the page works under
a sub-path.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from demo import messages
from demo.downloads import BUTTONS, DESCRIPTIONS, FIRST, FLIGHT, ON_DEMAND
from human3r import MOMENTS_NAME, PLAYER_SCENE_NAME

if TYPE_CHECKING:
    from demo.updates import Outcome
    from human3r import ClipInfo, ReconstructOptions

_LOGO = (
    '<svg class="h3-mark" viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="7.2" r="4.2"/>'
    '<path d="M16 13c-5 0-8 3.2-8 7.6V27h4.4v-6.2M16 13c5 0 8 3.2 8 7.6V27h-4.4v-6.2"/><path d="M3 30h26"/></svg>'
)
_AR_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#3d5af1" stroke-width="1.8">'
    '<path d="M12 7l5 2.8v5.6L12 18.2l-5-2.8V9.8zM7 9.8l5 2.8 5-2.8M12 12.6v5.6"/>'
    '<path d="M3 7V3h4M17 3h4v4M21 17v4h-4M7 21H3v-4"/>'
    "</svg>"
)
_EMPTY_PICTURE = (
    '<svg class="h3-ghost" viewBox="0 0 220 120" aria-hidden="true"><path d="M10 104h200M34 92h152M58 80h104M110 80v34'
    'M70 80 38 114M150 80l32 34"/><g><circle cx="88" cy="30" r="8"/><path d="M88 40v28m0-24-13 15m13-15 13 13M88 68l-9 '
    '25m9-25 9 24"/></g><g><circle cx="134" cy="26" r="8"/><path d="M134 36v29m0-25-12 14m12-14 14 11m-14 14-11 27m11'
    '-27 8 27"/></g></svg>'
)


def header() -> str:
    """Return the title row."""
    return (
        f'<header class="h3-header">{_LOGO}<div><h1>{messages.TITLE}</h1><p>{messages.TAGLINE}</p></div>'
        '<button type="button" class="h3-theme" data-h3="theme" aria-label="Switch between light and dark" '
        'title="Light or dark"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z'
        '"/></svg></button></header>'
    )


def clip_label() -> str:
    """Return the heading of the upload."""
    return '<h2 class="h3-label">Your clip <small>video, GIF, image or zip of images</small></h2>'


def clip_line(
    clip: ClipInfo,
    frames: int,
    options: ReconstructOptions,
    seconds_per_frame: float | None,
    preview: np.ndarray | None = None,
) -> str:
    """Return ``12.0 s, 1080x1920; 230 frames, takes about 3 min``, a frame of the clip and its warnings.

    A part of the clip is ``20 of 75 frames: 2 s at 10 fps``.
    """
    height, width = clip.image_size if (options.rotate or 0) % 180 == 0 else clip.image_size[::-1]
    facts = [f"{clip.duration_s:.1f} s" if clip.kind != "image" else "one image", f"{width}x{height}"]
    if clip.rotation_deg and clip.kind != "image":
        facts.append(f"rotated {clip.rotation_deg}°")
    if options.rotate:
        facts.append(f"turned {options.rotate}°")
    used = messages.count(frames, "frame")
    if frames < clip.num_frames:
        fps = round(clip.fps if options.fps is None else min(options.fps, clip.fps), 2)
        used = f"{frames} of {clip.num_frames} frames: {messages.duration(frames / fps)} at {fps:g} fps"
    if seconds_per_frame:
        used += f", takes about {messages.duration(frames * seconds_per_frame + 2)}"
    return _peek(f"{', '.join(facts)}; {used}", clip.warnings, preview)


def example_line(clip: ClipInfo, step: int, preview: np.ndarray | None = None) -> str:
    """Return the line of an example whose result was made before, from every ``step``-th frame."""
    height, width = clip.image_size
    return _peek(f"{clip.duration_s:.1f} s, {width}x{height}; {messages.made_earlier(step)}", (), preview)


def _peek(text: str, warnings: tuple[str, ...], preview: np.ndarray | None) -> str:
    remarks = "".join(f'<p class="h3-warning">{escape(each)}</p>' for each in warnings)
    picture = "" if preview is None else f'<img alt="A frame of the clip" src="{_data_url(preview)}">'
    return f'<div class="h3-peek">{picture}<p class="h3-facts">{escape(text)}</p></div>{remarks}'


def problem(sentence: str, *, is_stop: bool = False) -> str:
    """Return an error that a screen reader announces; a stop that the visitor asked for is none, and looks calm."""
    kind = "h3-problem h3-calm" if is_stop else "h3-problem"
    return f'<p class="{kind}" role="alert">{escape(sentence)}</p>'


def status(
    text: str, fraction: float | None = None, note: str | None = None, *, busy: bool = False, link: str | None = None
) -> str:
    """Return the line above the viewer, with a progress bar while a run is active; ``link`` belongs to the note."""
    if not text and not note:
        return ""
    bar = ""
    if busy:
        width = "" if fraction is None else f' style="width:{100 * fraction:.1f}%"'
        kind = "h3-bar h3-bar-unknown" if fraction is None else "h3-bar"
        bar = f'<div class="{kind}" role="progressbar" aria-label="Progress"><i{width}></i></div>'
    saved = f' <a href="{escape(link)}">Open what it had</a>' if link else ""
    remark = f'<p class="h3-note">{escape(note)}{saved}</p>' if note else ""
    main, *facts = escape(text).split(messages.SEPARATOR, 1)
    more = "".join(f"<span>{messages.SEPARATOR}{each}</span>" for each in facts)
    return f'<div class="h3-status" aria-live="polite"><p><b>{main}</b>{more}</p>{bar}</div>{remark}'


def empty_viewer(address: str | None = None) -> str:
    """Return the viewer area while nothing is shown."""
    return _viewer(f"{_EMPTY_PICTURE}<p>{messages.EMPTY_TEXT}</p>", address, "h3-empty")


def working_viewer(text: str, address: str | None = None) -> str:
    """Return the viewer area of a run without a live viewer."""
    return _viewer(f"{_EMPTY_PICTURE}<p>{escape(text)}</p>", address, "h3-empty h3-working")


def live_viewer(token: str, address: str | None = None) -> str:
    """Return the live viewer of a run."""
    return _viewer(_frame(f"./viewer/{token}/live/", "Live 4D viewer: the run while it grows"), address)


def recorded_viewer(outcome: Outcome, address: str | None = None) -> str:
    """Return the player of a finished run."""
    title = "4D viewer: people, scene and camera path over time"
    return _viewer(_frame(_player_address(outcome), title), address, kind=' data-h3="recording"')


def _viewer(content: str, address: str | None, state: str = "", kind: str = "") -> str:
    """Return the viewer area; ``page.js`` keeps the query ``address`` in the page's own address."""
    query = "" if address is None else f' data-address="{escape(address)}"'
    return f'<div class="{" ".join(["h3-viewer", *state.split()])}"{kind}{query}>{content}</div>'


def _player_address(outcome: Outcome) -> str:
    moments = "&moments=1" if MOMENTS_NAME in outcome.ready else ""
    return f"./viewer/{outcome.folder.token}/play/?playbackPath=../{PLAYER_SCENE_NAME}{moments}"


def _frame(address: str, title: str) -> str:
    return f'<iframe src="{escape(address)}" title="{escape(title)}" allow="fullscreen"></iframe>'


def preview(image: np.ndarray) -> str:
    """Return the current frame with its people as an embedded image."""
    height, width = image.shape[:2]
    kind = "h3-portrait" if height > width else ""
    picture = f'<img alt="The current frame with the people found in it" src="{_data_url(image)}">'
    # Shown from the end of the run until the video takes the picture's place: it is of another moment than the viewer.
    return _side(f"{picture}<figcaption>{messages.WRITING_VIDEO}</figcaption>", kind)


def _data_url(image: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def overlay(outcome: Outcome) -> str:
    """Return the overlay video, which ``page.js`` synchronizes with the viewer; empty when there is none."""
    if "overlay.mp4" not in outcome.ready:
        return ""
    height, width = outcome.image_size
    kind = "h3-portrait" if height > width else ""
    compare = '<button type="button" class="h3-compare" data-h3="compare" aria-pressed="false">Side by side</button>'
    return _side(
        f'<video data-h3="overlay" data-fps="{outcome.fps:.6f}" src="./viewer/{outcome.folder.token}/overlay.mp4" '
        f'muted playsinline preload="auto" width="{width}" height="{height}" tabindex="0" '
        'title="Drag to scrub, click to play" aria-label="The clip with its people drawn in, in step '
        'with the viewer"></video><div class="h3-frames" aria-hidden="true"></div>'
        f"{compare}",
        kind,
    )


def _side(content: str, kind: str = "") -> str:
    return f'<figure class="h3-side {kind}">{content}</figure>'


def result(outcome: Outcome, address: str | None = None, *, is_own: bool = False) -> str:
    """Return the downloads of a result, the link to it, and for its owner a button that deletes it."""
    offered = {*outcome.ready, *ON_DEMAND}
    token = outcome.folder.token
    buttons = "".join(
        f"<li>{_download(token, name, is_first=name == FIRST)}</li>" for name in BUTTONS if name in offered
    )
    buttons += _ar(token)
    others = [name for name in DESCRIPTIONS if name in offered and name not in BUTTONS]
    more = "".join(f"<dt>{_download(token, name)}</dt><dd>{escape(DESCRIPTIONS[name])}</dd>" for name in others)
    hints = (messages.blender(outcome.fps),) if outcome.frames > 1 else ()
    remarks = "".join(f'<p class="h3-remarks">{escape(each)}</p>' for each in (*hints, *outcome.warnings))
    ttl_s = outcome.folder.ttl_s
    life = "" if ttl_s is None else f" · kept for {messages.lifetime(ttl_s)}"
    query = address or f"result={token}"
    share = f'<button type="button" class="h3-link" data-h3="copy" data-path="./?{query}">Copy link{life}</button>'
    if is_own and ttl_s is not None:
        share += '<button type="button" class="h3-link h3-remove" data-h3="delete">Delete now</button>'
    return (
        f'<section class="h3-result"><div class="h3-downloads"><h2>Download</h2><ul>{buttons}</ul>{share}</div>'
        f'<details class="h3-more"><summary>More formats</summary><dl>{more}</dl></details>{remarks}</section>'
    )


def _ar(token: str) -> str:
    """Return the link that puts a result into the room; the page's script shows it on phones that can."""
    usdz = ' data-usdz="scene.usdz"' if "scene.usdz" in ON_DEMAND else ""
    # Quick Look takes a link only if all it holds is a picture.
    picture = f'<img src="data:image/svg+xml,{quote(_AR_PICTURE)}" alt="{messages.AR}" width="24" height="24">'
    return f'<li hidden><a rel="ar" data-h3="ar" data-folder="./viewer/{token}/"{usdz}>{picture}</a></li>'


def _download(token: str, name: str, *, is_first: bool = False) -> str:
    kind = ' class="h3-first"' if is_first else ""
    use = f"<small>{BUTTONS[name]}</small>" if name in BUTTONS else ""
    action = "slow" if name == FLIGHT else "download"
    return (
        f'<a{kind} data-h3="{action}" href="./viewer/{token}/{escape(name)}?download=1" download="{escape(name)}" '
        f'title="{escape(DESCRIPTIONS[name])}">{escape(name)}{use}</a>'
    )
