"""Every sentence a visitor reads. Plain words; an error says what is wrong and what to do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

TITLE = "Human3R"
TAGLINE = "Everyone, the place and the camera in 4D, from one ordinary video."
NO_CLIP = "There is no clip yet. Choose a video, a GIF, an image or a zip of images, or open an example."
NO_PEOPLE = "Nobody was found in this clip, so the result shows the scene and the camera path only."
STOPPING = "Stopping after this frame"
STOPPED = "Stopped. The result holds the frames that were finished."
STOPPED_EMPTY = "Stopped before the first frame was finished, so there is no result."
EARLIER_WEIGHTS = "An earlier version of the model made this example; press Reconstruct to run the present one."
WAITING_HINT = "Your run starts by itself. Keep this page open."
LOADING = "Loading the model"
READING = "Reading the clip"
WRITING = "Writing the result"
EMPTY_TITLE = "Nothing here yet"
EMPTY_TEXT = "Add a clip, or open an example: the people, the place and the camera path appear here."
EXPIRED = "This result does not exist or has expired. Reconstruct the clip again to see it."
EXPIRED_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Expired</title><style>body{font:16px/1.5 system-ui,sans-serif;"
    "display:grid;place-items:center;height:100vh;margin:0;color:#57606a;background:#f6f7f9}"
    "@media(prefers-color-scheme:dark){body{color:#9aa4b2;background:#14171c}}</style>"
    f"<p>{EXPIRED}"
)


@dataclass(frozen=True)
class Progress:
    """Where a run is."""

    frames_done: int
    frames_total: int
    """0 when the clip does not say."""
    people: int
    """In the current frame."""
    frames_per_s: float
    """Measured over the whole run; 0 before the first frame."""


def count(number: int, noun: str) -> str:
    """Return ``1 frame``, ``2 frames``, ``1 person``, ``2 people``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} people" if noun == "person" else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration as a person says it: ``3 s``, ``1 min 20 s``, ``2 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def progress(state: Progress) -> str:
    """Return ``frame 23/60 · 14 fps · 2 people · 3 s left``."""
    total = f"/{state.frames_total}" if state.frames_total else ""
    parts = [f"frame {state.frames_done}{total}"]
    if state.frames_per_s > 0:
        speed = f"{state.frames_per_s:.0f}" if state.frames_per_s >= 10 else f"{state.frames_per_s:.1f}"
        parts.append(f"{speed} fps")
    parts.append(count(state.people, "person"))
    if state.frames_per_s > 0 and state.frames_total:
        parts.append(f"{duration((state.frames_total - state.frames_done) / state.frames_per_s)} left")
    return " · ".join(parts)


def waiting(before: int) -> str:
    """Return the sentence for someone in line."""
    return f"Waiting: {count(before, 'run')} before yours"


def line_full(waiting_jobs: int) -> str:
    """Return the sentence for someone who found the line full."""
    return f"{count(waiting_jobs, 'run')} already wait here. Try again in a few minutes."


def finished(frames: int, people: int, seconds: float) -> str:
    """Return the line over a finished result."""
    return f"{count(frames, 'frame')} · {count(people, 'person')} · {duration(seconds)} of video"


def internal_error() -> tuple[str, str]:
    """Return (sentence, id); the id goes to the log beside the traceback."""
    identity = secrets.token_hex(4)
    return f"Something failed on our side (internal error {identity}). Try again, or try another clip.", identity
