"""The page: its Gradio components, and which event calls what.

The handlers are in ``actions``, the markup is in ``panels``, the texts are in ``messages``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState

from demo import messages
from demo.examples import Example, available_examples
from demo.live import panel as live
from demo.page import panels
from demo.page.actions import Actions
from demo.page.api import Services, connect_api, number_field, upload_field

_MAX_PROBES = 4
"""Clips that are described at the same time."""
_HIDDEN_EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

_TURNS = [("as people stand", "auto"), ("no", 0), ("90° clockwise", 90), ("180°", 180), ("90° counterclockwise", 270)]
"""For clips without a right orientation tag."""

_Option = gr.Number | gr.Dropdown | gr.Checkbox


@dataclass(frozen=True)
class _Page:
    """The components that events read or change."""

    clip: gr.File
    record: gr.Button
    webcam: gr.Video
    close: gr.Button
    facts: gr.HTML
    options: list[_Option]
    reconstruct: gr.Button
    stop: gr.Button
    side: gr.HTML
    status: gr.HTML
    viewer: gr.HTML
    result: gr.HTML
    delete: gr.Button

    @property
    def outputs(self) -> list[gr.Button | gr.HTML]:
        """The components that a run changes, in the order of ``changes_of``."""
        return [self.facts, self.status, self.viewer, self.side, self.result, self.reconstruct, self.stop]


class CheckedBlocks(gr.Blocks):
    """A page whose functions answer wrong values in one sentence; Gradio would write a trace for each."""

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], state: SessionState | None, explicit_call: bool = False
    ) -> list[Any]:
        """Check and convert what a page or a program sends."""
        if len(inputs) < len(block_fn.inputs):
            sentence = f"{block_fn.api_name} takes {len(block_fn.inputs)} values; {len(inputs)} came."
            raise gr.Error(sentence, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(messages.WRONG_VALUES, print_exception=False) from error


def build_page(services: Services) -> gr.Blocks:
    """Return the page, ready to launch."""
    ttl_s = int(services.settings.file_ttl_s)
    actions = Actions(services)
    with CheckedBlocks(
        title=messages.TITLE,
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(min(600, ttl_s), ttl_s),
    ) as page:
        gr.HTML(panels.header(), elem_id="h3-top")
        with gr.Row(elem_id="h3-stage", equal_height=False):
            with gr.Column(elem_id="h3-controls", scale=0, min_width=300):
                gr.HTML(panels.clip_label())
                clip = upload_field(gr.File(label="Clip", show_label=False, height=116, elem_id="h3-clip"))
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
                upload_field(webcam)
                close = gr.Button("Close the camera", elem_id="h3-close", size="sm", visible=False)
                facts = gr.HTML(elem_id="h3-facts")
                with gr.Row(elem_id="h3-buttons"):
                    reconstruct = gr.Button("Reconstruct", variant="primary", elem_id="h3-reconstruct", min_width=120)
                    stop = gr.Button("Stop", interactive=False, elem_id="h3-stop", min_width=80, scale=0)
                if services.engine.can_stream:
                    gr.HTML(live.controls(services.settings.max_live_s, ttl_s), elem_id="h3-live-controls")
                tiles = _example_tiles()
                side = gr.HTML(elem_id="h3-side")  # above the options: seen without scrolling
                options = _options(services)
            with gr.Column(elem_id="h3-scene", min_width=300):
                gr.HTML(live.stage(), elem_id="h3-live")
                status = gr.HTML(panels.status(""), elem_id="h3-status")
                viewer = gr.HTML(panels.empty_viewer(), elem_id="h3-viewer")
                result = gr.HTML(elem_id="h3-result")
                delete = gr.Button("Delete", elem_id="h3-delete")  # pressed by the button in ``result``
        components = _Page(
            clip, record, webcam, close, facts, options, reconstruct, stop, side, status, viewer, result, delete
        )
        _connect(components, tiles, actions)
        connect_api(services)
        page.load(actions.reopen, None, components.outputs, concurrency_limit=None, **_HIDDEN_EVENT)
        page.unload(actions.leave)
    return page


def _example_tiles() -> list[tuple[Example, gr.Button]]:
    examples = available_examples()
    if not examples:
        return []
    gr.HTML('<h2 class="h3-label">Or open an example</h2>', elem_id="h3-examples-label")
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
        start = number_field(0, label="Start, seconds")
        duration = number_field(0, label="Length, seconds (0: to the end)")
        fps = number_field(0, label="Frames per second (0: all)")
        frames = number_field(settings.default_frames, label=f"At most … frames (up to {settings.max_frames})")
        turn = gr.Dropdown(_TURNS, value="auto", label="Turn the clip")
        reset = number_field(0, label="Restart memory every … frames (0: automatic)")
        ttt3r = gr.Checkbox(False, label="Steadier on long clips (TTT3R)")
        names = list(services.model_names)
        model = gr.Dropdown(names, value=names[0], label="Model", visible=len({*names} - {"auto"}) > 1)
        for field in (model, turn):
            field.preprocess = lambda payload: payload  # ``read_request`` checks it, in the page's words
    return [start, duration, fps, frames, model, ttt3r, reset, turn]


def _connect(page: _Page, tiles: list[tuple[Example, gr.Button]], actions: Actions) -> None:
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
    camera = [page.webcam, page.close]
    page.record.click(lambda: (gr.update(visible=True),) * 2, None, camera, queue=False, **_HIDDEN_EVENT)
    page.close.click(
        lambda: (gr.update(value=None, visible=False), gr.update(visible=False)),
        None,
        camera,
        queue=False,
        **_HIDDEN_EVENT,
    )
    page.webcam.stop_recording(actions.take_recording, page.webcam, [page.clip, *camera], **_HIDDEN_EVENT)
    page.stop.click(actions.stop, None, None, queue=False, **_HIDDEN_EVENT)
    page.delete.click(actions.delete, None, page.outputs, queue=False, **_HIDDEN_EVENT)
    for example, tile in tiles:
        tile.click(
            actions.open_example,
            [gr.State(example.slug), *page.options],
            [page.clip, *page.outputs],
            concurrency_limit=None,
            **_HIDDEN_EVENT,
        )
