"""What happens on the page: the handlers of its events. Every page shows one thing, a run, a result or an example."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import gradio as gr

from demo import messages
from demo.engine import RunRequest
from demo.examples import Example, available_examples
from demo.page import panels
from demo.page.api import Services, read_request, visitor_of
from demo.runs import Run
from demo.updates import Update
from human3r import InputError

_LOG = logging.getLogger(__name__)
_MAX_PROBES_PER_VISITOR = 2
"""Clips that are described at the same time for one visitor."""
_MAX_PAGES = 2_000
"""Open pages that are remembered."""
_NUM_CACHED_FRAMES = 16
"""Preview frames of clips that are cached while their options change."""

Changes = tuple[object, ...]
"""New values of facts, status, viewer, side, result, Reconstruct, Stop."""
_UNCHANGED: Changes = (gr.skip(),) * 7


class _Pages(dict[str, "Run | str"]):
    """What pages show; the oldest are forgotten, since a program opens pages and never closes them."""

    def __setitem__(self, page: str, shown: Run | str) -> None:
        super().__setitem__(page, shown)
        for oldest in list(self)[:-_MAX_PAGES]:
            self.pop(oldest, None)


class Actions:
    """Event handlers. Methods, because Gradio finds the ``gr.Request`` parameter by its annotation."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._read_frame = lru_cache(maxsize=_NUM_CACHED_FRAMES)(services.engine.read_frame)
        self._probing: Counter[str | None] = Counter()
        self._shown = _Pages()
        """What every open page shows: a run, or the token of a result or the slug of an example."""

    def _read(self, clip: str | None, values: tuple[object, ...]) -> RunRequest:
        return read_request(self._services.settings, self._services.model_names, clip, *values)

    def describe_clip(self, request: gr.Request, clip: str | None, *values: object) -> str:
        """Return the line below the upload; wrong options are named before a run."""
        visitor = visitor_of(request).key
        if visitor is not None and self._probing[visitor] >= _MAX_PROBES_PER_VISITOR:
            return panels.problem(messages.STILL_READING)
        self._probing[visitor] += 1
        try:
            return self._describe(clip, values, str(self._shown.get(str(request.session_hash))))
        except InputError as error:
            return panels.problem(str(error))
        except Exception:
            return panels.problem(messages.log_internal_error(_LOG))
        finally:
            self._probing[visitor] -= 1

    def _describe(self, clip: str | None, values: tuple[object, ...], shown: str) -> str:
        options = self._read(clip, values).options
        sampling = options.sampling
        if clip is None:
            return ""
        engine, path = self._services.engine, Path(clip)
        facts = engine.probe(path)
        if sampling.start_s >= facts.duration_s:
            message = f"Start is {sampling.start_s:g} s, after the end of the clip ({facts.duration_s:.1f} s)."
            raise InputError(message, "Choose an earlier start.")
        preview = self._read_frame(path, sampling.start_s, options.rotate or 0)
        example = _example(path.stem)
        if example is not None and shown == example.slug and (outcome := self._services.gallery.opened(example)):
            return panels.example_line(facts, outcome.step, preview)
        return panels.clip_line(facts, sampling.estimated_frames(facts), options, engine.seconds_per_frame, preview)

    def take_recording(self, recording: str | None) -> tuple[object, ...]:
        """Use the camera's recording as the clip."""
        if recording is None:
            return gr.skip(), gr.skip(), gr.skip()
        return recording, gr.update(value=None, visible=False), gr.update(visible=False)

    def reopen(self, request: gr.Request) -> Iterator[Changes]:
        """Show what the page's address names after a reload or through a link: a run, a result, an example.

        Without a name, an example plays.
        """
        yield _UNCHANGED  # an event without an answer would empty the page
        token, slug = request.query_params.get("result"), request.query_params.get("example")
        if token and (run := self._services.runs.running(token)) is not None:
            yield from self._follow(run, request)
        elif token:
            self._shown[str(request.session_hash)] = token
            outcome = self._services.runs.find(token)
            if outcome is None:
                yield changes_of(Update("", problem=messages.EXPIRED))
            else:
                is_own = outcome.folder.owner == visitor_of(request).session
                update = Update(outcome.text, outcome=outcome, note=outcome.note)
                yield changes_of(update, f"result={token}", is_own=is_own)
        elif slug != "" and (example := _example(slug) or next(iter(available_examples()), None)) is not None:
            yield from self._show_example(example, request, f"example={slug}" if slug else "")

    def run(self, request: gr.Request, clip: str | None, *values: object) -> Iterator[Changes]:
        """Run, and update the page meanwhile."""
        try:
            wanted = self._read(clip, values)
            if wanted.clip is None:
                raise InputError(messages.NO_CLIP)
        except InputError as error:
            yield (panels.problem(str(error)), *_UNCHANGED[1:])
            return
        yield from self._follow(self._services.runs.launch(wanted, visitor_of(request)), request)

    def _follow(self, run: Run, request: gr.Request) -> Iterator[Changes]:
        """Show a run until its end, or until the page shows something else."""
        page, is_own = str(request.session_hash), run.owner.session == visitor_of(request).session
        self._shown[page] = run
        try:
            for update in run.feed.watch():
                if self._shown.get(page) is not run:
                    yield _UNCHANGED  # at the end of an event its last answer is applied again
                    return
                yield changes_of(update, f"result={run.token}", is_own=is_own)
            self._shown[page] = run.token
        except GeneratorExit:
            self._leave(page)
            raise

    def open_example(self, request: gr.Request, slug: str, *values: object) -> Iterator[Changes]:
        """Show the precomputed result, or start a run where there is none for the model in use."""
        example = next(item for item in available_examples() if item.slug == slug)
        page = str(request.session_hash)
        before, note, link = self._shown.get(page), None, None
        if isinstance(before, Run) and before.owner.session == visitor_of(request).session:
            before.stopped.set()
            note, link = messages.STOPPED_FOR_EXAMPLE, f"./?result={before.token}"
        self._shown[page] = slug
        yield (str(example.clip), *changes_of(Update(f"Opening {example.title}", 0.0)))
        has_result = False
        for changes in self._show_example(example, request, f"example={slug}", note, link):
            has_result = True
            yield (gr.skip(), *changes)
        if not has_result:
            for changes in self.run(request, str(example.clip), *values):
                yield (gr.skip(), *changes)

    def _show_example(
        self, example: Example, request: gr.Request, address: str, note: str | None = None, link: str | None = None
    ) -> Iterator[Changes]:
        """Yield the precomputed result if there is one and the page has not moved on meanwhile."""
        page = str(request.session_hash)
        self._shown[page] = example.slug
        try:
            outcome = self._services.gallery.open(example)
        except Exception:  # without its precomputed result, the example runs
            _LOG.exception("example %s could not be opened", example.slug)
            return
        if outcome is not None and self._shown.get(page) == example.slug:
            text = f"{example.title} · {outcome.text} · {messages.made_earlier(outcome.step)}"
            yield changes_of(Update(text, outcome=outcome, note=note or outcome.note), address, link=link)

    def delete(self, request: gr.Request) -> Changes:
        """Delete the visitor's result that the page shows; its last files may still be being written."""
        page = str(request.session_hash)
        shown = self._shown.get(page)
        token = shown.token if isinstance(shown, Run) else shown
        folder = self._services.store.get(token) if token else None
        if folder is None or folder.owner != visitor_of(request).session:
            return changes_of(Update("", problem=messages.EXPIRED))
        if isinstance(shown, Run):
            shown.delete()
            self._shown.pop(page)
        self._services.store.remove(folder)
        return changes_of(Update(messages.DELETED), is_own=False, is_idle=True)

    def stop(self, request: gr.Request) -> None:
        """Stop the run that the page shows after the current frame; its own updates report it."""
        run = self._shown.get(str(request.session_hash))
        if isinstance(run, Run) and run.owner.session == visitor_of(request).session:
            run.stopped.set()

    def leave(self, request: gr.Request) -> None:
        """Handle a closed tab or a reload."""
        self._leave(str(request.session_hash))

    def _leave(self, page: str) -> None:
        """Abandon a run that no page shows, unless one does soon: a reload closes a page before it opens the next."""
        run = self._shown.pop(page, None)
        if not isinstance(run, Run):
            return

        def abandon() -> None:
            if run not in self._shown.values():
                run.abandon()

        timer = threading.Timer(self._services.settings.reload_grace_s, abandon)
        timer.daemon = True
        timer.start()


def _example(slug: str | None) -> Example | None:
    return next((item for item in available_examples() if item.slug == slug), None)


def changes_of(
    update: Update, address: str | None = None, *, is_own: bool = True, is_idle: bool = False, link: str | None = None
) -> Changes:
    """Return what an update changes on the page.

    Args:
        update: What happened.
        address: Query under which this can be opened again; None keeps the page's address.
        is_own: The visitor's own run or result, which can be stopped or deleted.
        is_idle: Nothing is shown any more.
        link: Address that belongs to the note.
    """
    skip, enabled, disabled = gr.skip(), gr.update(interactive=True), gr.update(interactive=False)
    idle, working = (enabled, disabled), (disabled, enabled if is_own else disabled)
    if update.problem is not None:
        problem = panels.problem(update.problem, is_stop=update.is_stop)
        return problem, panels.status(""), panels.empty_viewer(), "", "", *idle
    if is_idle:
        return skip, panels.status(update.text), panels.empty_viewer(""), "", "", *idle
    if update.outcome is not None:
        outcome = update.outcome
        viewer = skip if update.is_complete else panels.recorded_viewer(outcome, address)
        line = panels.status(update.text, note=update.note, link=link)
        result = panels.result(outcome, address, is_own=is_own)
        side = panels.overlay(outcome) or ("" if update.is_complete else skip)  # the last frame stays meanwhile
        return skip, line, viewer, side, result, *idle
    line = panels.status(update.text, update.fraction, busy=True)
    viewer = skip
    if update.live_token is not None:
        viewer = panels.live_viewer(update.live_token, address)
    elif update.preview is None and not update.fraction:
        text = messages.WAITING_HINT if update.fraction is None else update.text
        viewer = panels.working_viewer(text, address)
    side = skip if update.preview is None else panels.preview(update.preview)
    return skip, line, viewer, side, skip if update.preview is not None else "", *working
