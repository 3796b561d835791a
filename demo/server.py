"""Assembles the demo and serves it: one process, one port.

Owns all lifetimes: the model loads in the background, expired results and viewers are removed, and leaving the context
manager removes every file and closes every live viewer.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import gradio as gr
from gradio.themes import Base
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.middleware import Middleware

import human3r
from demo.connections import bound_connections
from demo.downloads import ON_DEMAND
from demo.engine import Engine
from demo.examples import ROOT as EXAMPLES_ROOT
from demo.examples import Gallery, available_examples
from demo.guard import Guard
from demo.jobs import JobQueue
from demo.live.routes import build_live_routes
from demo.live.runs import LiveRuns
from demo.page.api import Services
from demo.page.ui import build_page
from demo.routes import Site, build_routes
from demo.runs import Runs
from demo.settings import Settings, networks_of
from demo.storage import ResultStore, RunFolder, sweep_empty_uploads
from demo.zero_gpu import find_spaces

_LOG = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "page" / "static"
_LOOK_EVERY_S = 0.1
"""Between looks into the queue of requests while it is empty."""
_MAX_PAGES = 500
"""Open pages whose state Gradio keeps: .1 MB each, and a program may name as many as it likes."""
_SCRIPTS = ("page.js", "ar.js", "camera.js", "live.js")
_FONT = ["Inter", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


class Demo:
    """The services of one running demo; use it as a context manager.

    Args:
        settings: Address and limits.
        engine: Runs the model and writes the files.
    """

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine
        self.jobs = JobQueue(settings.max_waiting, settings.max_per_visitor)
        self.store = ResultStore(settings.file_ttl_s, settings.max_results)
        self.runs = Runs(engine, self.jobs, self.store)
        self.live = LiveRuns(settings, engine, self.jobs, self.store)
        self.gallery = Gallery(engine, self.store)
        self.url = ""
        """Of the page, once it is launched."""
        self._closed = threading.Event()

    def __enter__(self) -> Demo:
        threading.Thread(target=self._sweep, name="human3r-sweeper", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self.live.close()
        self.runs.close()
        self.store.close()

    def health(self) -> dict[str, object]:
        """Return the facts of ``/healthz``: no token, no user data."""
        active, waiting = self.jobs.counts()
        return {"status": "ok", **self.engine.describe(), "active_jobs": active, "queued_jobs": waiting}

    def make(self, folder: RunFolder, name: str, progress: Callable[[int, int], object]) -> None:
        """Write a download of a finished result on request; ``progress`` follows it and may raise ``Cancelled``."""
        if name not in ON_DEMAND or (arrays := folder.file("reconstruction.npz")) is None:
            return
        with self.store.in_use(folder.token):
            if folder.file(name) is None:
                result = human3r.Reconstruction.load(arrays)
                self.engine.export(result, self.gallery.clip_of(folder), folder, name, progress)

    def _live_url(self, token: str) -> str | None:
        return self.runs.live_url(token) or self.live.live_url(token)

    def launch(self, *, warm_up: bool = True) -> gr.Blocks:
        """Serve the page in the background and print its URL.

        Args:
            warm_up: Load the model and prepare the examples once the page is up.

        Raises:
            OSError: The port is taken.
        """
        host = self.settings.host
        services = Services(self.settings, self.engine, self.runs, self.store, self.gallery, self.engine.model_names())
        page = build_page(services)
        page.queue(max_size=2 * self.settings.max_waiting)  # bounds requests; ``jobs`` bounds runs
        # Gradio looks into its queue a thousand times per second, which costs 4 % of a core forever.
        queue = page._queue  # pyright: ignore[reportPrivateUsage]
        queue.sleep_when_free = queue.progress_update_sleep_when_free = _LOOK_EVERY_S
        site = Site(self.store, self._live_url, self.health, self.make)
        routes = [*build_routes(site), *build_live_routes(self.live)]
        _, self.url, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=self.settings.port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            root_path=self.settings.root_path,
            ssr_mode=False,
            enable_monitoring=False,
            state_session_capacity=_MAX_PAGES,
            max_file_size=f"{self.settings.max_upload_mb}mb",
            allowed_paths=[str(EXAMPLES_ROOT)],
            app_kwargs={"routes": routes, "middleware": [Middleware(Guard, settings=self.settings)]},
            theme=_theme(),
            css_paths=[_STATIC / "page.css", _STATIC / "live.css"],
            head=_head(),
            footer_links=["api"],
        )
        bound_connections(page.server.config, self.settings)
        print(f"Human3R is ready: {self.url}  (Ctrl+C stops it)", flush=True)
        if warm_up:
            threading.Thread(target=self._warm_up, name="human3r-warm-up", daemon=True).start()
        return page

    def _warm_up(self) -> None:
        try:
            self.engine.load(self.engine.model_names()[0])
            if self.engine.can_stream:
                self._warm_up_live()
            self.gallery.open_all(lambda: self.jobs.counts()[0] > 0)
            human3r.return_free_memory()
        except human3r.Human3RError as error:
            _LOG.warning("the model %s is not ready: %s", self.settings.model, error)
        except Exception:
            _LOG.exception("the model %s could not be loaded", self.settings.model)

    def _warm_up_live(self) -> None:
        for example in available_examples():
            if example.icon is not None:
                with Image.open(example.icon) as picture:
                    self.engine.warm_up_live(picture.convert("RGB"))
                return

    def _sweep(self) -> None:
        while not self._closed.wait(self.settings.sweep_every_s):
            self.store.sweep()
            sweep_empty_uploads(Path(get_upload_folder()), self.settings.file_ttl_s)


def serve(settings: Settings, engine: Engine | None = None) -> int:
    """Run the demo until Ctrl+C or SIGTERM and return the exit code.

    Args:
        settings: Address and limits.
        engine: Engine to use; None creates one from the settings.
    """
    proxies = ",".join(map(str, networks_of(settings.trusted_proxies)))
    os.environ.setdefault("FORWARDED_ALLOW_IPS", proxies)  # read by uvicorn
    human3r.limit_arenas()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl+C: a service manager's stop cleans up, too
    given = os.environ.get("GRADIO_TEMP_DIR")
    places = (None, Path(given) if given else None)
    for place in places:
        human3r.reclaim(place)
    try:
        human3r.check_model(settings.model)
    except human3r.Human3RError as error:
        print(error, file=sys.stderr)
        return 2
    with ExitStack() as stack:
        # Gradio keeps uploads beyond its end; in a folder of this process they are reclaimed even after a kill.
        os.environ["GRADIO_TEMP_DIR"] = str(stack.enter_context(human3r.temporary_folder(places[-1])))
        demo = stack.enter_context(Demo(settings, engine or Engine(settings.model, settings.body, find_spaces())))
        try:
            page = demo.launch()
        except KeyboardInterrupt:  # stopped before it was up
            return 0
        except OSError:  # Gradio's sentence names its own options
            taken = f"port {settings.port} is" if settings.port else "ports 7860 to 7959 are"
            print(f"The {taken} in use on {settings.host}. Choose another one with --port.", file=sys.stderr)
            return 1
        with suppress(KeyboardInterrupt):
            while page.is_running:
                time.sleep(_LOOK_EVERY_S)
        page.close(verbose=False)
    return 0


def _head() -> str:
    """Return the page's scripts, and its ground from the first paint on: Gradio's own style comes later."""
    light, dark = "background:#f5f6f8;color-scheme:light", "background:#0f1216;color-scheme:dark"
    ground = f"html{{{light}}}@media(prefers-color-scheme:dark){{html{{{dark}}}}}"
    ground += f"html[data-h3-theme=light]{{{light}}}html[data-h3-theme=dark]{{{dark}}}"  # the visitor's choice
    scripts = "".join(f"<script>{(_STATIC / name).read_text(encoding='utf-8')}</script>" for name in _SCRIPTS)
    return f"<style>{ground}</style>{scripts}"


def _theme() -> Base:
    """Return a theme with local fonts only: the page loads nothing from other hosts."""
    theme = Base(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", text_size="md", font=_FONT, font_mono=_MONO
    )
    return theme.set(
        body_background_fill="#f5f6f8",
        body_background_fill_dark="#0f1216",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171b21",
        block_border_width="1px",
        block_border_color="#e3e6eb",
        block_border_color_dark="#262c35",
        block_shadow="none",
        button_primary_background_fill="#3d5af1",
        button_primary_background_fill_hover="#2f49d1",
        button_primary_background_fill_dark="#4a63f5",
        button_primary_background_fill_hover_dark="#5b76ff",
        button_primary_text_color="#ffffff",
    )
