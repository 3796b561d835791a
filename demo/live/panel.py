"""The markup and the sentences of the live part of the page; ``live.js`` fills it in."""

from __future__ import annotations

from demo.messages import duration

ENDED_ALONE = "No pictures arrived for too long, so the recording ended."
TOO_MUCH = "The recording reached the size limit, so it ended."
TIME_IS_UP = "The recording reached its time limit, so it ended."
NO_FRAMES = "No picture arrived from the camera, so there is no result."
NO_SUCH_RUN = "This recording does not exist any more."


def controls(limit_s: float, ttl_s: float) -> str:
    """Return the Live button and what it does with the camera's pictures."""
    return (
        '<button type="button" class="h3-live-start" data-h3-live="start">Live: use your camera</button>'
        '<p class="h3-live-consent">Your camera\'s pictures go to this server while Live runs, for '
        f"{duration(limit_s)} at most. The recording is deleted with the result after {duration(ttl_s)}, or at once "
        "when you ask.</p>"
    )


def stage() -> str:
    """Return the live view: the player, the camera's own picture with the people drawn in, and a line of numbers."""
    return (
        '<section class="h3-live" data-h3-live="stage" hidden>'
        '<div class="h3-live-view"><div class="h3-live-viewer" data-h3-live="viewer"></div>'
        '<div class="h3-live-self"><video data-h3-live="video" muted playsinline autoplay '
        'aria-label="Your camera"></video><canvas data-h3-live="overlay" aria-hidden="true"></canvas></div></div>'
        '<div class="h3-live-bar"><p data-h3-live="line" aria-live="polite"></p>'
        '<button type="button" data-h3-live="turn">Other camera</button>'
        '<button type="button" data-h3-live="stop" class="h3-live-stop">Stop</button>'
        '<button type="button" data-h3-live="discard">Stop and delete</button></div></section>'
        '<p class="h3-live-problem" role="alert" data-h3-live="problem" hidden></p>'
    )
