"""The page: its Gradio components and their events. The markup is in ``panels``, the texts are in ``messages``."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from demo.engine import RunRequest, frames_to_use
from demo.examples import Example, available_examples
from demo.page import messages, panels
from demo.page.api import Services, connect_api, number_field, read_request, visitor_of
from demo.runs import Update, note_for_people
from human3r import InputError

_LOG = logging.getLogger(__name__)
_MAX_PROBES, _MAX_PROBES_PER_VISITOR = 4, 2
"""Clips that are described at the same time, in total and for one visitor."""
_NUM_CACHED_FRAMES = 16
"""Preview frames of clips that are cached while their options change."""
_HIDDEN_EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

_Option = gr.Number | gr.Dropdown | gr.Checkbox


@dataclass(frozen=True)
class _Page:
    """The components that events read or change."""

    clip: gr.File
    record: gr.Button
    webcam: gr.Video
    facts: gr.HTML
    options: list[_Option]
    reconstruct: gr.Button
    stop: gr.Button
    side: gr.HTML
    status: gr.HTML
    viewer: gr.HTML
    result: gr.HTML

    @property
    def outputs(self) -> list[gr.Button | gr.HTML]:
        """The components that a run changes, in the order of ``_changes``."""
        return [self.facts, self.status, self.viewer, self.side, self.result, self.reconstruct, self.stop]


def build_page(services: Services) -> gr.Blocks:
    """Return the page, ready to launch."""
    ttl_s = int(services.settings.file_ttl_s)
    actions = _Actions(services)
    with gr.Blocks(
        title=messages.TITLE,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(min(600, ttl_s), ttl_s),
    ) as page:
        gr.HTML(panels.header(), elem_id="h3-top")
        with gr.Row(elem_id="h3-stage", equal_height=False):
            with gr.Column(elem_id="h3-controls", scale=0, min_width=300):
                gr.HTML(panels.clip_label())
                clip = gr.File(label="Clip", show_label=False, height=116, elem_id="h3-clip")
                record = gr.Button("or record one with the camera", elem_id="h3-record", size="sm")
                webcam = gr.Video(
                    sources=["webcam"],
                    visible=False,
                    show_label=False,
                    include_audio=False,
                    height=220,
                    webcam_options=gr.WebcamOptions(mirror=False),
                    elem_id="h3-webcam",
                )
                facts = gr.HTML(elem_id="h3-facts")
                with gr.Row(elem_id="h3-buttons"):
                    reconstruct = gr.Button("Reconstruct", variant="primary", elem_id="h3-reconstruct", min_width=120)
                    stop = gr.Button("Stop", interactive=False, elem_id="h3-stop", min_width=80, scale=0)
                tiles = _example_tiles()
                options = _options(services)
                side = gr.HTML(elem_id="h3-side")
            with gr.Column(elem_id="h3-scene", min_width=300):
                status = gr.HTML(panels.status(""), elem_id="h3-status")
                viewer = gr.HTML(panels.empty_viewer(), elem_id="h3-viewer")
                result = gr.HTML(elem_id="h3-result")
        components = _Page(clip, record, webcam, facts, options, reconstruct, stop, side, status, viewer, result)
        _connect(components, tiles, actions)
        connect_api(services)
        page.load(actions.reopen, None, components.outputs, **_HIDDEN_EVENT)
        page.unload(actions.stop)
    return page


def _example_tiles() -> list[tuple[Example, gr.Button]]:
    examples = available_examples()
    if not examples:
        return []
    gr.HTML('<h2 class="h3-label">Or open an example</h2>')
    with gr.Row(elem_id="h3-examples"):
        tiles = [gr.Button(item.title, icon=item.icon, elem_classes="h3-tile", min_width=80) for item in examples]
    for tile in tiles:
        if isinstance(tile.icon, dict):  # otherwise Gradio's copy expires like the files of visitors
            tile.keep_in_cache.add(tile.icon["path"])
    return list(zip(examples, tiles, strict=True))


def _options(services: Services) -> list[_Option]:
    """Build the collapsed options in the order of ``read_request``."""
    settings = services.settings
    with gr.Accordion("Options", open=False, elem_id="h3-options"):
        with gr.Row():
            start = number_field(0, label="Start, seconds", minimum=0, min_width=110)
            duration = number_field(0, label="Length (0: to the end)", minimum=0, min_width=110)
        with gr.Row():
            fps = number_field(0, label="Frames/s (0: all)", minimum=0, maximum=120, min_width=110)
            frames = number_field(
                settings.default_frames,
                label=f"Most frames (≤ {settings.max_frames})",
                minimum=1,
                maximum=settings.max_frames,
                precision=0,
                min_width=110,
            )
        with gr.Row():
            model = gr.Dropdown(list(services.model_names), value=services.model_names[0], label="Model", min_width=110)
            reset = number_field(0, label="Reset every (0: auto)", minimum=0, precision=0, min_width=110)
        ttt3r = gr.Checkbox(False, label="TTT3R state update: steadier on long clips")
    return [start, duration, fps, frames, model, ttt3r, reset]


def _connect(page: _Page, tiles: list[tuple[Example, gr.Button]], actions: _Actions) -> None:
    # One event for all fields: the responses of several events could arrive out of order.
    gr.on(
        [page.clip.change, *(option.change for option in page.options)],
        actions.describe_clip,
        [page.clip, *page.options],
        page.facts,
        trigger_mode="always_last",
        concurrency_limit=_MAX_PROBES,
        **_HIDDEN_EVENT,
    )
    page.reconstruct.click(
        actions.run, [page.clip, *page.options], page.outputs, concurrency_limit=None, **_HIDDEN_EVENT
    )
    page.record.click(lambda: gr.update(visible=True), None, page.webcam, queue=False, **_HIDDEN_EVENT)
    page.webcam.stop_recording(actions.take_recording, page.webcam, [page.clip, page.webcam], **_HIDDEN_EVENT)
    page.stop.click(actions.stop, None, None, queue=False, **_HIDDEN_EVENT)
    for example, tile in tiles:
        tile.click(
            actions.open_example,
            [gr.State(example.slug), *page.options],
            [page.clip, *page.outputs],
            concurrency_limit=None,
            **_HIDDEN_EVENT,
        )


class _Actions:
    """Event handlers. Methods, because Gradio finds the ``gr.Request`` parameter by its annotation."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._read_frame = lru_cache(maxsize=_NUM_CACHED_FRAMES)(services.engine.read_frame)
        self._probing: Counter[str | None] = Counter()

    def _read(self, clip: str | None, values: tuple[object, ...]) -> RunRequest:
        return read_request(self._services.settings, self._services.model_names, clip, *values)

    def describe_clip(self, request: gr.Request, clip: str | None, *values: object) -> str:
        """Return the line below the upload."""
        if clip is None:
            return ""
        visitor = visitor_of(request).key
        if visitor is not None and self._probing[visitor] >= _MAX_PROBES_PER_VISITOR:
            return panels.problem(messages.STILL_READING)
        self._probing[visitor] += 1
        try:
            return self._describe(clip, values)
        finally:
            self._probing[visitor] -= 1

    def _describe(self, clip: str, values: tuple[object, ...]) -> str:
        engine = self._services.engine
        try:
            sampling = self._read(clip, values).options.sampling
            facts = engine.probe(Path(clip))
            preview = self._read_frame(Path(clip), sampling.start_s)
            num_frames = frames_to_use(facts, sampling)
            return panels.clip_line(facts, num_frames, sampling, engine.seconds_per_frame, preview)
        except InputError as error:
            return panels.problem(str(error))
        except Exception:
            return panels.problem(messages.log_internal_error(_LOG))

    def take_recording(self, recording: str | None) -> tuple[object, object]:
        """Use the camera's recording as the clip."""
        if recording is None:
            return gr.skip(), gr.skip()
        return recording, gr.update(value=None, visible=False)

    def reopen(self, request: gr.Request) -> tuple[object, ...]:
        """Show the result that the page's address names, after a reload or through a link."""
        token = request.query_params.get("result")
        if not token:
            return (gr.skip(),) * len(_changes(Update("")))
        outcome = self._services.runs.find(token)
        if outcome is None:
            return _changes(Update("", problem=messages.EXPIRED))
        return _changes(Update(outcome.text, outcome=outcome, note=note_for_people(outcome.people)))

    def run(self, request: gr.Request, clip: str | None, *values: object) -> Iterator[tuple[object, ...]]:
        """Run, and update the page meanwhile."""
        try:
            wanted = self._read(clip, values)
        except InputError as error:
            yield _changes(Update("", problem=str(error)))
            return
        yield from map(_changes, self._services.runs.start(wanted, visitor_of(request)))

    def open_example(self, request: gr.Request, slug: str, *values: object) -> Iterator[tuple[object, ...]]:
        """Show the precomputed result, or start a run where there is none for the model in use."""
        example = next(item for item in available_examples() if item.slug == slug)
        yield (str(example.clip), *_changes(Update(f"Opening {example.title}", 0.0)))
        outcome = None
        try:
            outcome = self._services.gallery.open(example)
        except Exception:  # without its precomputed result, the example runs
            _LOG.exception("example %s could not be opened", example.slug)
        if outcome is None:
            for changes in self.run(request, str(example.clip), *values):
                yield (gr.skip(), *changes)
            return
        yield (gr.skip(), *_changes(Update(outcome.text, outcome=outcome)))

    def stop(self, request: gr.Request) -> None:
        """Stop the visitor's runs after the current frame; their own updates report it. A closed tab does so, too."""
        self._services.runs.stop(str(request.session_hash))


def _changes(update: Update) -> tuple[object, ...]:
    """Return the new values of ``_Page.outputs``: facts, status, viewer, side, result, Reconstruct, Stop."""
    skip, enabled, disabled = gr.skip(), gr.update(interactive=True), gr.update(interactive=False)
    idle, working = (enabled, disabled), (disabled, enabled)
    if update.problem is not None:
        return panels.problem(update.problem), panels.status(""), panels.empty_viewer(), "", "", *idle
    if update.outcome is not None:
        viewer = skip if update.is_complete else panels.recorded_viewer(update.outcome)
        line = panels.status(update.text, note=update.note)
        return skip, line, viewer, panels.overlay(update.outcome) or skip, panels.result(update.outcome), *idle
    line = panels.status(update.text, update.fraction, busy=True)
    viewer = skip
    if update.live_token is not None:
        viewer = panels.live_viewer(update.live_token)
    elif update.preview is None and not update.fraction:
        viewer = panels.working_viewer(messages.WAITING_HINT if update.fraction is None else update.text)
    side = skip if update.preview is None else panels.preview(update.preview)
    return skip, line, viewer, side, skip if update.preview is not None else "", *working
