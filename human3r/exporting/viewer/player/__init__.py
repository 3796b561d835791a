"""The player: our timeline, views and layers over viser's client, for results, offline HTML and runs that go on.

``fit.js`` prepares the client and ``client.js`` talks to it; ``tape.js`` reads the motion tape, ``stage.js`` shows any
moment of it, ``moments.js`` the points of single frames, ``camera.js`` moves the viewer and ``keep.js`` keeps where it
stands. ``panel.js``, ``layers.js``, ``people.js``, ``measure.js`` and ``labels.js`` are what the visitor uses, made of
``widgets.js``; ``start.js`` begins. Tested with viser 1.1.1 only.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_SCRIPTS = (
    *("fit.js", "client.js", "tape.js", "stage.js", "moments.js", "camera.js", "keep.js"),
    *("widgets.js", "labels.js", "measure.js", "people.js", "layers.js", "panel.js", "start.js"),
)


@lru_cache(maxsize=1)
def player_head() -> str:
    """Return the markup that goes first into the head of viser's client."""
    folder = Path(__file__).parent
    style = (folder / "player.css").read_text(encoding="utf-8")
    scripts = "".join(f"<script>{(folder / name).read_text(encoding='utf-8')}</script>" for name in _SCRIPTS)
    return f"<style>{style}</style>{scripts}"


def player_page(data: str = "") -> str:
    """Return the player as one HTML page; ``data`` is markup that precedes its scripts, such as an embedded scene."""
    import viser

    client = (Path(viser.__file__).parent / "client" / "build" / "index.html").read_text(encoding="utf-8")
    client = client.replace("<title>Viser</title>", "<title>Human3R</title>", 1)
    return client.replace("<head>", f"<head>{data}{player_head()}", 1)
