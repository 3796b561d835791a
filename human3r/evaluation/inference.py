"""Run a model on the images of a sequence as a protocol prescribes.

Loader ``crop`` is the model's own rule; ``resize`` scales the sides to multiples of the patch, so that every pixel of
the true depth has a prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from human3r.errors import FormatError, MediaDecodeError
from human3r.evaluation.protocol import Protocol
from human3r.inference.loading.loaded_model import LoadedModel
from human3r.inference.session import Session
from human3r.records import FramePrediction
from human3r.video.limits import DEFAULT_LIMITS
from human3r.video.preprocess import PreparedImage
from human3r.video.sources.image import decode_image


def open_session(model: LoadedModel, protocol: Protocol) -> Session:
    """Start a stream with the protocol's resets and, for networks of the paper, its gate."""
    use_ttt3r = protocol.use_ttt3r if model.profile.has_protocol_gate else None
    return Session(model, use_ttt3r=use_ttt3r, reset_interval=protocol.reset_interval or 0)


def predict_frames(
    session: Session, images: tuple[Path, ...], protocol: Protocol, times_s: tuple[float, ...] = ()
) -> Iterator[FramePrediction]:
    """Yield the prediction of every image, in order.

    Args:
        times_s: Seconds of every image; empty: 30 per second.

    Raises:
        FormatError: An image cannot be decoded; none is skipped.
    """
    for index, path in enumerate(images):
        image = load_image(path)
        prepared = prepare_resized(session, image) if protocol.loader == "resize" else session.prepare(image)
        yield session.step_prepared(prepared, times_s[index] if times_s else None, index)


def load_image(path: Path) -> np.ndarray:
    """Decode an image, upright: ``H W 3`` uint8.

    Raises:
        FormatError: The file cannot be decoded.
    """
    try:
        return decode_image(path.read_bytes(), DEFAULT_LIMITS)[0]
    except (MediaDecodeError, OSError) as error:
        raise FormatError(f"The image {path.name} cannot be decoded.", "Download the sequence again.") from error


def prepare_resized(session: Session, image: np.ndarray) -> PreparedImage:
    """Prepare ``H W 3`` uint8 without cropping.

    The long side is resized by the paper's rule, then both sides, by Lanczos, to the size of that rule's crop, which
    the rule then leaves unchanged. The rule of ``compact`` does not crop.
    Source: MonST3R (arXiv 2410.03825) and CUT3R (arXiv 2501.12387), loading for video depth.
    """
    config = session.model.config
    if config.preprocess != "paper":
        return session.prepare(image)
    height, width = image.shape[:2]
    scale = config.image_size / max(height, width)
    new_height, new_width = round(height * scale), round(width * scale)
    final_height, final_width = new_height // 16 * 16, new_width // 16 * 16
    if new_height == new_width:
        final_height = final_width * 3 // 4
    if not final_height or not final_width:
        raise FormatError(f"An image of {width} x {height} is too narrow for the network.", "Expected video frames.")
    filtering = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    resized = Image.fromarray(image).resize((new_width, new_height), filtering)
    resized = resized.resize((final_width, final_height), Image.Resampling.LANCZOS)
    prepared = session.prepare(np.asarray(resized))
    return replace(prepared, source_rect_px=(0.0, 0.0, float(width), float(height)), source_size=(height, width))
