"""Every sentence that a visitor reads. An error says what is wrong and what to do."""

from __future__ import annotations

import logging
import secrets

TITLE = "Human3R"
SEPARATOR = " · "
"""Between the facts of the line over the viewer."""
TAGLINE = "Everyone, the place and the camera in 4D, from one ordinary video."
AR = "View in your room"
NO_CLIP = "There is no clip yet. Choose a video, a GIF, an image or a zip of images, or open an example."
NO_UPLOAD = "The clip is no file that was uploaded here; nothing is downloaded. Upload it first."
WRONG_VALUES = "The request holds values of the wrong kind. The API page says what each field takes."
NO_PEOPLE = "Nobody was found in this clip, so the result shows the scene and the camera path only."
STOPPING = "Stopping after this frame"
STOPPED_EMPTY = "Stopped before the first frame was finished, so there is no result."
STOPPED_FOR_EXAMPLE = "Your run was stopped to open this example."
DELETED = "Deleted. The files of this result are gone."
EARLIER_WEIGHTS = "An earlier version of the model made this example; press Reconstruct to run the present one."
WAITING_HINT = "Your run starts by itself. Keep this page open."
STILL_READING = "Your other clips are still being read. Try again in a few seconds."
LOADING = "Loading the model"
READING = "Reading the clip"
WRITING = "Writing the result"
WRITING_VIDEO = "The video is being written"
EMPTY_TEXT = "See people, place and camera in 3D. Open an example or add a clip."
EXPIRED = "This result does not exist or has expired. Reconstruct the clip again to see it."
EXPIRED_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Expired</title><style>body{font:16px/1.5 system-ui,sans-serif;"
    "display:grid;place-items:center;height:100vh;margin:0;color:#57606a;background:#f6f7f9}"
    "@media(prefers-color-scheme:dark){body{color:#9aa4b2;background:#14171c}}</style>"
    f"<p>{EXPIRED}"
)


def count(number: int, noun: str) -> str:
    """Return ``1 frame``, ``2 frames``, ``1 person``, ``2 people``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} people" if noun == "person" else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration such as ``0.4 s``, ``3 s``, ``1 min 20 s`` or ``2 h 5 min``."""
    if 0.05 < seconds < 0.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def lifetime(seconds: float) -> str:
    """Return a time to live such as ``1 hour`` or ``15 minutes``."""
    minutes = max(1, round(seconds / 60))
    return count(minutes // 60, "hour") if minutes % 60 == 0 else count(minutes, "minute")


def every(step: int) -> str:
    """Return ``every frame``, ``every second frame``, ..., ``every 12th frame``."""
    ordinals = {1: "", 2: "second ", 3: "third ", 4: "fourth ", 5: "fifth "}
    return f"every {ordinals.get(step, f'{step}th ')}frame"


def progress(frames_done: int, frames_total: int, people: int, frames_per_s: float) -> str:
    """Return ``frame 23/60 · 14 fps · 2 people · 3 s left``; a total or a speed of 0 is unknown.

    The last frame is followed by what only a whole clip allows.
    """
    parts = [f"frame {frames_done}/{frames_total}" if frames_total else f"frame {frames_done}"]
    if frames_per_s > 0:
        parts.append(f"{frames_per_s:.0f} fps" if frames_per_s >= 10 else f"{frames_per_s:.1f} fps")
    parts.append(count(people, "person"))
    if frames_per_s > 0 and frames_total:
        left_s = (frames_total - frames_done) / frames_per_s
        parts.append(f"{duration(left_s)} left" if left_s > 0 else "refining the whole clip")
    return SEPARATOR.join(parts)


def waiting(before: int) -> str:
    """Return the status of a queued run."""
    return f"Waiting: {count(before, 'run')} before yours"


def queue_full(waiting_jobs: int) -> str:
    """Return the problem of a run that the queue refused."""
    return f"{count(waiting_jobs, 'run')} already in the queue. Try again in a few minutes."


def visitor_limit(own_jobs: int) -> str:
    """Return the problem of a run beyond a visitor's limit."""
    return f"You have {count(own_jobs, 'run')} in the queue already. Wait until one has ended, or stop one."


def finished(frames: int, people: int, seconds: float) -> str:
    """Return the line above a finished result; a single picture has no duration."""
    facts = [count(frames, "frame"), count(people, "person")]
    return SEPARATOR.join(facts if frames == 1 else [*facts, f"{duration(seconds)} of video"])


def blender(fps: float) -> str:
    """Return what Blender has to be told: its importer turns key times in seconds into frames of the scene."""
    scene = f"set the scene to {max(1, round(fps))} fps before you import scene.glb"
    return f"In Blender, {scene}, and add a sun: people need light."


def made_earlier(step: int) -> str:
    """Return how the result of an example came about."""
    return f"made earlier from {every(step)}"


def log_internal_error(log: logging.Logger) -> str:
    """Log the current exception under a random id and return the sentence that names the id."""
    identity = secrets.token_hex(4)
    log.exception("internal error %s", identity)
    return f"Something failed on our side (internal error {identity}). Try again, or try another clip."
