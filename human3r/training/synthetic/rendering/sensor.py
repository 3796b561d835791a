"""Camera simulation: exposure, white balance, vignetting, blur, noise, tone curve and compression."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from human3r.palette import linear_to_srgb


def develop(rng: np.random.Generator, radiance: np.ndarray) -> np.ndarray:
    """Turn linear radiance ``T H W 3`` into 8-bit video frames ``T H W 3`` of one camera."""
    luminance = radiance @ np.array([0.21, 0.72, 0.07], np.float32)
    middle = np.exp(np.log(luminance + 1e-4).mean((1, 2)))
    # Auto exposure adapts only partly after the first frame.
    level = 0.6 * middle[0] + 0.4 * middle
    exposure = rng.uniform(0.14, 0.34) / np.maximum(level, 1e-4)
    white = _white_balance(rng, radiance)
    curve = str(rng.choice(["filmic", "soft", "clip"], p=[0.45, 0.3, 0.25]))
    saturation, contrast = rng.uniform(0.7, 1.25), rng.uniform(0.9, 1.15)
    vignette = _vignette(radiance.shape[1:3], rng.uniform(0, 0.35))
    blur = float(rng.choice([0.0, rng.uniform(0.3, 0.9)], p=[0.55, 0.45]))
    sharpen = float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.6, 0.4]))
    noise = float(rng.choice([rng.uniform(0, 0.008), rng.uniform(0.008, 0.04)], p=[0.65, 0.35]))
    frames = []
    for light, gain in zip(radiance, exposure, strict=True):
        linear = light * (gain * white * vignette[..., None])
        if blur > 0:
            linear = gaussian_filter(linear, (blur, blur, 0))
        linear = linear + rng.standard_normal(linear.shape) * noise * np.sqrt(np.maximum(linear, 0.0) + 0.02)
        frames.append(_tone(np.maximum(linear, 0), curve, saturation, contrast, sharpen))
    return _compress(rng, np.stack(frames))


def develop_clean(radiance: np.ndarray, exposure: float) -> np.ndarray:
    """Turn one frame of linear radiance ``H W 3`` into an 8-bit image with a filmic tone curve, without noise."""
    return _tone(np.maximum(radiance * exposure, 0), "filmic", 1.05, 1.03, 0.0)


def _white_balance(rng: np.random.Generator, radiance: np.ndarray) -> np.ndarray:
    mean = radiance[0].mean((0, 1)) + 1e-4
    neutral = mean.mean() / mean
    return neutral ** rng.uniform(0.2, 0.9) * np.exp(rng.normal(0, 0.05, 3))


def _vignette(size: tuple[int, int], strength: float) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    return 1 - strength * (x * x + y * y) / 2


def _tone(linear: np.ndarray, curve: str, saturation: float, contrast: float, sharpen: float) -> np.ndarray:
    if curve == "filmic":
        # Source: Narkowicz 2015, fit of the ACES reference curve.
        linear = linear * (2.51 * linear + 0.03) / (linear * (2.43 * linear + 0.59) + 0.14)
    elif curve == "soft":
        linear = 1 - np.exp(-1.6 * linear)
    else:
        linear = linear * 1.25
    image = linear_to_srgb(linear)
    gray = image.mean(-1, keepdims=True)
    image = (gray + (image - gray) * saturation - 0.5) * contrast + 0.5
    if sharpen > 0:
        image = image + sharpen * (image - gaussian_filter(image, (1.0, 1.0, 0)))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _compress(rng: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    kind = rng.choice(["none", "jpeg", "h264"], p=[0.3, 0.3, 0.4])
    if kind == "jpeg":
        quality = int(rng.integers(35, 92))
        return np.stack([through_jpeg(frame, quality) for frame in frames])
    if kind == "h264":
        return through_h264(frames, int(rng.integers(18, 34)))
    return frames


def through_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """Encode and decode a frame ``H W 3``, uint8."""
    with BytesIO() as file:
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file).convert("RGB"))


def through_h264(frames: np.ndarray, crf: int) -> np.ndarray:
    """Encode and decode frames ``T H W 3`` with x264; each is written three times, so most are inter-coded."""
    import av

    with BytesIO() as file:
        with av.open(file, "w", format="mp4") as writer:
            options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
            stream = writer.add_stream("libx264", rate=30, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                for _ in range(3):
                    writer.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            writer.mux(stream.encode())
        file.seek(0)
        with av.open(file) as reader:
            decoded = [frame.to_ndarray(format="rgb24") for frame in reader.decode(video=0)]
    return np.stack(decoded[2::3])
