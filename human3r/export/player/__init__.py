"""The player of recordings: our timeline, views and layers over viser's client, for the page and for offline HTML.

``fit.js`` prepares the client, ``capture.js`` takes the timed messages from viser's own playback, ``stage.js`` applies
any moment of them directly, ``moments.js`` shows the points of single frames, ``camera.js`` moves the viewer,
``panel.js`` is what the visitor sees. Stock viser still plays the same recordings. Tested with viser 1.1.1 only.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_SCRIPTS = ("fit.js", "capture.js", "moments.js", "stage.js", "camera.js", "panel.js")


@lru_cache(maxsize=1)
def player_head() -> str:
    """Return the markup that goes first into the head of viser's client."""
    folder = Path(__file__).parent
    style = (folder / "player.css").read_text(encoding="utf-8")
    scripts = "".join(f"<script>{(folder / name).read_text(encoding='utf-8')}</script>" for name in _SCRIPTS)
    return f"<style>{style}</style>{scripts}"
