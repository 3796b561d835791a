"""The page: Gradio components, and which of them changes when. No model, no files, no HTML text lives here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gradio as gr

from demo.api import Parts, connect_api, read_options
from demo.engine import frames_to_use
from demo.examples import Example, available_examples
from demo.page import messages, panels
from demo.runs import ON_DEMAND, Outcome, Update
from human3r.errors import InputError

_LOG = logging.getLogger(__name__)
_PEEKS_KEPT = 16
"""Pictures of clips that are remembered while their options change."""


@dataclass(frozen=True)
class _Page:
    """The components that change."""

    clip: gr.File
    record: gr.Button
    webcam: gr.Video
    facts: gr.HTML
    options: list[gr.components.Component]
    reconstruct: gr.Button
    stop: gr.Button
    side: gr.HTML
    status: gr.HTML
    viewer: gr.HTML
    result: gr.HTML

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What a run changes, in the order of ``_changes``."""
        return [self.facts, self.status, self.viewer, self.side, self.result, self.reconstruct, self.stop]


def build_page(parts: Parts) -> gr.Blocks:
    """Return the page; ``server.serve`` launches it."""
    with gr.Blocks(
        title=messages.TITLE,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(int(min(600, parts.settings.file_ttl_s)), int(parts.settings.file_ttl_s)),
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
                options = _options(parts)
                side = gr.HTML(elem_id="h3-side")
            with gr.Column(elem_id="h3-scene", min_width=300):
                status = gr.HTML(panels.status(""), elem_id="h3-status")
                viewer = gr.HTML(panels.empty_viewer(), elem_id="h3-viewer")
                result = gr.HTML(elem_id="h3-result")
        components = _Page(clip, record, webcam, facts, options, reconstruct, stop, side, status, viewer, result)
        _connect(components, tiles, parts)
        connect_api(parts)
        page.load(_Actions(parts).reopen, None, components.outputs, api_visibility="private", show_progress="hidden")
        page.unload(_Actions(parts).leave)
    return page


def _example_tiles() -> list[tuple[Example, gr.Button]]:
    examples = available_examples()
    if not examples:
        return []
    gr.HTML('<h2 class="h3-label">Or open an example</h2>')
    with gr.Row(elem_id="h3-examples"):
        return [(example, _tile(example)) for example in examples]


def _tile(example: Example) -> gr.Button:
    icon = str(example.thumbnail) if example.thumbnail.is_file() else None
    tile = gr.Button(example.title, icon=icon, elem_classes="h3-tile", min_width=80)
    if isinstance(tile.icon, dict):  # Gradio's copy would go with the files of visitors when their time is over
        tile.keep_in_cache.add(tile.icon["path"])
    return tile


def _options(parts: Parts) -> list[gr.components.Component]:
    """Build the folded-away options in the order of ``_read_options``."""
    settings = parts.settings
    with gr.Accordion("Options", open=False, elem_id="h3-options"):
        with gr.Row():
            start = gr.Number(0, label="Start, seconds", minimum=0, min_width=110)
            duration = gr.Number(0, label="Length (0: to the end)", minimum=0, min_width=110)
        with gr.Row():
            fps = gr.Number(0, label="Frames/s (0: all)", minimum=0, maximum=120, min_width=110)
            frames = gr.Number(
                settings.default_frames,
                label=f"Most frames (≤ {settings.max_frames})",
                minimum=1,
                maximum=settings.max_frames,
                precision=0,
                min_width=110,
            )
        with gr.Row():
            model = gr.Dropdown(list(parts.model_names), value=parts.model_names[0], label="Model", min_width=110)
            reset = gr.Number(0, label="Reset every (0: auto)", minimum=0, precision=0, min_width=110)
        ttt3r = gr.Checkbox(False, label="TTT3R state update: steadier on long clips")
    return [start, duration, fps, frames, model, ttt3r, reset]


def _connect(page: _Page, tiles: list[tuple[Example, gr.Button]], parts: Parts) -> None:
    actions = _Actions(parts)
    private = {"api_visibility": "private", "show_progress": "hidden"}
    # One event for all fields: of several, an older answer could come last.
    gr.on(
        [page.clip.change, *(option.change for option in page.options)],
        actions.describe_clip,
        [page.clip, *page.options],
        page.facts,
        trigger_mode="always_last",
        **private,
    )
    page.reconstruct.click(actions.run, [page.clip, *page.options], page.outputs, concurrency_limit=None, **private)
    page.record.click(lambda: gr.update(visible=True), None, page.webcam, queue=False, **private)
    page.webcam.stop_recording(actions.take_recording, page.webcam, [page.clip, page.webcam], **private)
    page.stop.click(actions.stop, None, None, queue=False, **private)
    for example, tile in tiles:
        tile.click(
            actions.open_example,
            [gr.State(example.slug), *page.options],
            [page.clip, *page.outputs],
            concurrency_limit=None,
            **private,
        )


class _Actions:
    """What the buttons do. Methods, because Gradio finds the ``gr.Request`` parameter by its annotation."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._peek = lru_cache(maxsize=_PEEKS_KEPT)(parts.engine.peek)

    def describe_clip(self, clip: str | None, *values: object) -> str:
        """Return the line under the upload."""
        if clip is None:
            return ""
        parts = self._parts
        try:
            options = read_options(parts.settings, parts.model_names, *values)
            facts = parts.engine.probe(Path(clip))
            peek = self._peek(Path(clip), options.start_s)
            frames = frames_to_use(facts, options)
            return panels.clip_line(facts, frames, options, parts.engine.seconds_per_frame(), peek)
        except InputError as error:
            return panels.problem(str(error))
        except Exception:
            sentence, identity = messages.internal_error()
            _LOG.exception("internal error %s", identity)
            return panels.problem(sentence)

    def take_recording(self, recording: str | None) -> tuple[object, object]:
        """Use what the camera has recorded as the clip."""
        if recording is None:
            return gr.skip(), gr.skip()
        return recording, gr.update(value=None, visible=False)

    def reopen(self, request: gr.Request) -> tuple[object, ...]:
        """Show the result that the address names, after a reload or through a link."""
        token = request.query_params.get("result")
        if not token:
            return (gr.skip(),) * len(_changes(Update("")))
        outcome = self._parts.runs.find(token)
        if outcome is None:
            return _changes(Update("", problem=messages.EXPIRED))
        text = messages.finished(outcome.frames, outcome.people, outcome.frames / outcome.fps)
        return _changes(Update(text, outcome=outcome, note=messages.NO_PEOPLE if outcome.people == 0 else None))

    def run(self, request: gr.Request, clip: str | None, *values: object) -> Iterator[tuple[object, ...]]:
        """Run, and change the page while it runs."""
        try:
            options = read_options(self._parts.settings, self._parts.model_names, *values)
        except InputError as error:
            yield _changes(Update("", problem=str(error)))
            return
        for update in self._parts.runs.start(Path(clip) if clip else None, options, str(request.session_hash)):
            yield _changes(update)

    def open_example(self, request: gr.Request, slug: str, *values: object) -> Iterator[tuple[object, ...]]:
        """Show the precomputed result, or start a run where there is none for the model in use."""
        example = next(item for item in available_examples() if item.slug == slug)
        yield (str(example.clip), *_changes(Update(f"Opening {example.title}", 0.0)))
        outcome = None
        try:
            outcome = self._parts.gallery.open(example)
        except Exception:  # a damaged file only costs the short cut
            _LOG.exception("example %s could not be opened", example.slug)
        if outcome is None:
            for changes in self.run(request, str(example.clip), *values):
                yield (gr.skip(), *changes)
            return
        text = messages.finished(outcome.frames, outcome.people, outcome.frames / outcome.fps)
        yield (gr.skip(), *_changes(Update(text, outcome=outcome)))

    def stop(self, request: gr.Request) -> None:
        """End the visitor's run after the current frame. The run says so: an answer from here could come too late."""
        self._parts.runs.stop(str(request.session_hash))

    def leave(self, request: gr.Request) -> None:
        """The tab was closed."""
        self._parts.runs.leave(str(request.session_hash))


def _changes(update: Update) -> tuple[object, ...]:
    """Return the new values of ``_Page.outputs``: facts, status, viewer, side, result, Reconstruct, Stop."""
    skip = gr.skip()
    idle, working = (
        (gr.update(interactive=True), gr.update(interactive=False)),
        (gr.update(interactive=False), gr.update(interactive=True)),
    )
    if update.problem is not None:
        return panels.problem(update.problem), panels.status(""), panels.empty_viewer(), "", "", *idle
    if update.outcome is not None:
        viewer = skip if update.is_shown else panels.recorded_viewer(update.outcome)
        line = panels.status(update.text, note=update.note)
        return skip, line, viewer, panels.overlay(update.outcome) or skip, _result(update.outcome), *idle
    line = panels.status(update.text, update.fraction, busy=True)
    viewer = skip
    if update.live_token is not None:
        viewer = panels.live_viewer(update.live_token)
    elif update.preview is None and not update.fraction:
        viewer = panels.working_viewer(messages.WAITING_HINT if update.fraction is None else update.text)
    side = skip if update.preview is None else panels.preview(update.preview)
    return skip, line, viewer, side, skip if update.preview is not None else "", *working


def _result(outcome: Outcome) -> str:
    return panels.result(outcome, (*outcome.ready, *ON_DEMAND))
