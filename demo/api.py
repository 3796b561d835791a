"""The named endpoint ``/reconstruct`` for programs, and the option fields that it shares with the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from demo.engine import Engine, RunOptions
from demo.examples import Gallery
from demo.runs import FURTHER_FILES, Runs, Update
from demo.settings import Settings
from human3r.errors import InputError


@dataclass(frozen=True)
class Parts:
    """What the page is built over."""

    settings: Settings
    engine: Engine
    runs: Runs
    gallery: Gallery
    model_names: tuple[str, ...]


def read_options(settings: Settings, model_names: Sequence[str], *values: object) -> RunOptions:
    """Turn the option fields (start, duration, fps, max_frames, model, ttt3r, reset) into a checked record.

    Args:
        settings: Bounds of the page.
        model_names: Models that the page offers, the default first; nothing else is ever loaded for a visitor.
        values: The fields.

    Raises:
        InputError: A value is outside its range, or the model is not offered.
    """
    start, duration, fps, frames, model, ttt3r, reset = values
    for label, value in (("start", start), ("duration", duration), ("fps", fps), ("reset interval", reset)):
        if value is not None and float(value) < 0:  # type: ignore[arg-type]
            raise InputError(f"The {label} is {value}, but it cannot be negative.", "Use 0 for the default.")
    most = int(frames) if frames else settings.default_frames  # type: ignore[call-overload]
    if not 1 <= most <= settings.max_frames:
        raise InputError(f"{most} frames were asked for; this page allows 1 to {settings.max_frames}.", "Choose fewer.")
    return RunOptions(
        start_s=float(start or 0),  # type: ignore[arg-type]
        duration_s=float(duration) if duration else None,  # type: ignore[arg-type]
        fps=float(fps) if fps else None,  # type: ignore[arg-type]
        max_frames=most,
        model=_offered(model, model_names),
        use_ttt3r=bool(ttt3r),
        reset_interval=int(reset) if reset else None,  # type: ignore[call-overload]
    )


def _offered(model: object, names: Sequence[str]) -> str:
    """Return a model that the page offers; nothing and ``auto`` stand for the default."""
    if model in (None, "", "auto"):
        return names[0]
    if model not in names:
        raise InputError("The page does not offer the model that was asked for.", f"Choose {' or '.join(names)}.")
    return str(model)


def connect_api(parts: Parts) -> None:
    """Add the named endpoint ``/reconstruct`` for programs, over components that the page does not show."""
    clip = gr.File(label="clip", visible=False)
    numbers = [gr.Number(value, visible=False) for value in (0, 0, 0, parts.settings.default_frames)]
    model = gr.Textbox(parts.model_names[0], visible=False)
    ttt3r, reset = gr.Checkbox(False, visible=False), gr.Number(0, visible=False)
    outputs = [gr.JSON(label="summary", visible=False), gr.File(label="files", file_count="multiple", visible=False)]
    gr.Button(visible=False).click(
        _api(parts), [clip, *numbers, model, ttt3r, reset], outputs, api_name="reconstruct", concurrency_limit=None
    )


def _api(parts: Parts) -> Callable[..., Iterator[tuple[dict[str, object], list[str] | None]]]:
    """Return the function behind ``/reconstruct``; its parameter names are part of the public contract."""

    def reconstruct(
        clip: str | None,
        start: float = 0,
        duration: float = 0,
        fps: float = 0,
        max_frames: float = 0,
        model: str = "auto",
        ttt3r: bool = False,
        reset_interval: float = 0,
        request: gr.Request = None,  # type: ignore[assignment]
    ) -> Iterator[tuple[dict[str, object], list[str] | None]]:
        """Reconstruct a clip: yields progress, and at last the summary and the files."""
        try:
            values = (start, duration, fps, max_frames, model, ttt3r, reset_interval)
            options = read_options(parts.settings, parts.model_names, *values)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        source = Path(clip) if clip else None
        for update in parts.runs.start(source, options, str(request.session_hash), everything=True):
            if update.problem is not None:
                raise gr.Error(update.problem, print_exception=False)
            if update.outcome is None:
                yield {"status": update.text, "fraction": update.fraction}, None
            elif set(FURTHER_FILES) & set(update.outcome.ready):
                yield _summary(update), [str(update.outcome.shelf.folder / name) for name in update.outcome.ready]

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
