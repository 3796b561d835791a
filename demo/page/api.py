"""The named endpoint ``/reconstruct`` for programs, and the option fields that it shares with the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from demo import messages
from demo.engine import Engine, RunRequest
from demo.examples import Gallery
from demo.jobs import Visitor
from demo.runs import Runs
from demo.settings import Settings
from demo.storage import ResultStore
from demo.updates import Update
from human3r import InputError, ReconstructOptions

_AT_MOST = "At most … frames"
FieldT = TypeVar("FieldT", gr.File, gr.Video)
_ApiValue = tuple[dict[str, object], list[str] | None]


@dataclass(frozen=True)
class Services:
    """What the page and the API call."""

    settings: Settings
    engine: Engine
    runs: Runs
    store: ResultStore
    gallery: Gallery
    model_names: tuple[str, ...]


def read_request(settings: Settings, model_names: Sequence[str], clip: str | None, *values: object) -> RunRequest:
    """Check the option fields (start, duration, fps, max_frames, model, ttt3r, reset interval, turn).

    Args:
        settings: Limits of the page.
        model_names: Models that the page offers, the default first; no other model is loaded for a visitor.
        clip: The chosen file, or None.
        values: The fields.

    Raises:
        InputError: A value is outside its range, or the model is not offered.
    """
    *numbers, model, ttt3r, reset, turn = values
    labels = ("Start", "Length", "Frames per second", _AT_MOST, "Restart memory every … frames")
    start, duration, fps, frames, reset = (_number(*pair) for pair in zip(labels, (*numbers, reset), strict=True))
    max_frames = int(frames) or settings.default_frames
    if max_frames > settings.max_frames:
        message = f"{_AT_MOST} must be up to {settings.max_frames}; it is {max_frames}."
        raise InputError(message, "Choose fewer.")
    options = ReconstructOptions(
        start_s=start,
        duration_s=duration or None,
        fps=fps or None,
        max_frames=max_frames,
        use_ttt3r=bool(ttt3r) or None,
        reset_interval=int(reset) or None,
        rotate=None if turn in (None, "", "auto") else int(_number("Turn the clip", turn)),
    )
    return RunRequest(Path(clip) if clip else None, _offered(model, model_names), options)


def _offered(model: object, names: Sequence[str]) -> str:
    """Return a model that the page offers; an empty field and ``auto`` select the default."""
    if model in (None, "", "auto"):
        return names[0]
    if model not in names:
        raise InputError("The page does not offer the requested model.", f"Choose {' or '.join(names)}.")
    return str(model)


def _number(label: str, value: object) -> float:
    """Return a finite number that is not negative; an empty field is 0."""
    try:
        number = float(value or 0)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{label} must be a number, not {value!r}.", "Use 0 for the default.") from None
    if not 0 <= number < float("inf"):
        raise InputError(f"{label} must be 0 or more.", "Use 0 for the default.")
    return number


def visitor_of(request: gr.Request) -> Visitor:
    """Return who sent a request; behind a proxy that uvicorn trusts, the address is that of its client."""
    return Visitor.of(request.cookies, request.client and request.client.host, str(request.session_hash))


def number_field(value: float | None, **options: Any) -> gr.Number:
    """Return a number field whose value reaches ``read_request`` unchecked: its errors name the field."""
    field = gr.Number(value, **options)
    field.preprocess = lambda payload: payload
    return field


def upload_field(field: FieldT) -> FieldT:
    """Return a field that takes what was uploaded here, and says so in one sentence for anything else.

    Gradio itself would download an address, whatever its size, and write a traceback for every other nonsense.
    """
    preprocess, move = field.preprocess, field.async_move_resource_to_block_cache

    def read(payload: Any) -> Any:
        try:
            return preprocess(payload)
        except Exception as error:
            raise gr.Error(messages.NO_UPLOAD, print_exception=False) from error

    async def keep(url_or_file_path: str | Path | None) -> str | None:
        if url_or_file_path is not None and not Path(url_or_file_path).is_file():
            raise gr.Error(messages.NO_UPLOAD, print_exception=False)
        return await move(url_or_file_path)

    field.preprocess, field.async_move_resource_to_block_cache = read, keep
    return field


def connect_api(services: Services) -> None:
    """Add the endpoint ``/reconstruct``, over components that the page does not show."""
    clip = upload_field(gr.File(label="clip", visible=False))
    numbers = [number_field(value, visible=False) for value in (0, 0, 0, services.settings.default_frames)]
    model = gr.Textbox(services.model_names[0], visible=False)
    ttt3r = gr.Checkbox(False, visible=False)
    reset, rotate = number_field(0, visible=False), number_field(None, visible=False)
    outputs = [gr.JSON(label="summary", visible=False), gr.File(label="files", file_count="multiple", visible=False)]
    gr.Button(visible=False).click(
        _endpoint(services),
        [clip, *numbers, model, ttt3r, reset, rotate],
        outputs,
        api_name="reconstruct",
        concurrency_limit=None,
    )


def _endpoint(services: Services) -> Callable[..., Iterator[_ApiValue]]:
    """Return the function of the endpoint; its parameter names are part of the public contract."""

    def reconstruct(
        clip: str | None,
        start: float = 0,
        duration: float = 0,
        fps: float = 0,
        max_frames: float = 0,
        model: str = "auto",
        ttt3r: bool = False,
        reset_interval: float = 0,
        rotate: float | None = None,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> Iterator[_ApiValue]:
        """Reconstruct a clip: yields progress, and finally the summary and the files."""
        try:
            values = (start, duration, fps, max_frames, model, ttt3r, reset_interval, rotate)
            wanted = read_request(services.settings, services.model_names, clip, *values)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        for update in services.runs.start(wanted, visitor_of(request), for_program=True):
            if update.problem is not None:
                raise gr.Error(update.problem, print_exception=False)
            if update.outcome is None:
                yield {"status": update.text, "fraction": update.fraction}, None
            elif update.is_complete:
                yield _summary(update), [str(update.outcome.folder.path / name) for name in update.outcome.ready]

    return reconstruct


def _summary(update: Update) -> dict[str, object]:
    outcome = update.outcome
    assert outcome is not None  # only called with one
    notes = [update.note] if update.note else []
    return {
        "frames": outcome.frames,
        "people": outcome.people,
        "fps": round(outcome.fps, 3),
        "seconds": round(outcome.seconds, 3),
        "warnings": [*outcome.warnings, *notes],
    }
