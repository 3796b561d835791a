"""A fake of the demo's engine: results with a person in every frame, without a network."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from demo.engine import RunRequest, Source
from demo.storage import RunFolder
from human3r import FrameSink, InputError, Reconstruction, RunControl


def make_reconstruction(num_frames: int, num_people: int = 1) -> Reconstruction:
    """Build a valid result in which every person is seen in every frame."""
    frames, people = num_frames, num_people
    rows = frames * people
    identities = np.arange(people)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, dtype=np.float32)

    return Reconstruction(
        fps=5.0,
        frame_index=np.arange(frames),
        time_s=np.arange(frames) / 5.0,
        image_size=np.array([48, 64]),
        K=np.tile(np.eye(3), (frames, 1, 1)),
        T_world_camera=np.tile(np.eye(4), (frames, 1, 1)),
        T_gravity_world=np.eye(4),
        person_frame=np.repeat(np.arange(frames), people),
        person_track=np.tile(identities, frames),
        person_score=np.ones(rows),
        global_orient=zeros(rows, 3),
        transl=zeros(rows, 3),
        body_pose=zeros(rows, 21, 3),
        left_hand_pose=zeros(rows, 15, 3),
        right_hand_pose=zeros(rows, 15, 3),
        jaw_pose=zeros(rows, 3),
        leye_pose=zeros(rows, 3),
        reye_pose=zeros(rows, 3),
        betas=zeros(rows, 10),
        expression=zeros(rows, 10),
        joints_world=zeros(rows, 55, 3),
        joints_image_px=zeros(rows, 55, 2),
        track_id=identities,
        track_betas=zeros(people, 10),
        points_world=zeros(4, 3),
        points_color=np.zeros((4, 3), dtype=np.uint8),
        points_confidence=np.ones(4),
        points_frame=np.zeros(4),
        meta={"warnings": []},
    )


@dataclass
class FakeLiveScene:
    """A live viewer that only counts."""

    url: str = "ws://127.0.0.1:1/secret"
    frames: int = 0
    is_closed: bool = False

    def add(self, prediction: object) -> None:
        self.frames += 1

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeEngine:
    """Has the methods of ``demo.engine.Engine``; ``gate`` lets a test pause a run between two frames."""

    num_frames: int = 6
    num_people: int = 1
    failure: Exception | None = None
    gate: threading.Event | None = None
    live: list[FakeLiveScene] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    source: Source = "current model"
    can_stream: bool = True
    seconds_per_frame: float | None = 0.1

    def probe(self, clip: Path) -> SimpleNamespace:
        if clip.suffix == ".txt":
            raise InputError("The file is text, not a video.", "Choose a video.")
        return SimpleNamespace(
            kind="video", image_size=(48, 64), fps=5.0, duration_s=self.num_frames / 5, num_frames=self.num_frames,
            num_selected=self.num_frames, rotation_deg=0, warnings=(),
        )  # fmt: skip

    def read_frame(self, clip: Path, time_s: float, rotate: int = 0) -> np.ndarray | None:
        return np.zeros((6, 8, 3), dtype=np.uint8)

    def load(self, model: str) -> None:
        pass

    def reconstruct(
        self, request: RunRequest, sinks: list[FrameSink], control: RunControl, folder: RunFolder
    ) -> Reconstruction:
        control.on_start(self.probe(request.clip), 0)
        if self.failure is not None:
            raise self.failure
        done = 0
        while done < self.num_frames and not control.should_stop():
            for sink in sinks:
                sink.add(SimpleNamespace(people=[0] * self.num_people))
            done += 1
            if self.gate is not None:
                self.gate.wait(60)
        result = make_reconstruction(done, self.num_people)
        if done < self.num_frames:
            result.meta["warnings"] = [f"Stopped after {done} of {self.num_frames} frames."]
        return result

    def open_live(self) -> FakeLiveScene:
        self.live.append(FakeLiveScene())
        return self.live[-1]

    def preview(self, prediction: object) -> np.ndarray:
        return np.zeros((6, 8, 3), dtype=np.uint8)

    def export(
        self, result: Reconstruction, clip: Path | None, folder: RunFolder, name: str, progress: object = None
    ) -> bool:
        self.exported.append(name)
        (folder.path / name).write_bytes(name.encode())
        return True

    def source_of(self, result: Reconstruction) -> Source:
        return self.source

    def model_names(self) -> tuple[str, ...]:
        return ("compact",)

    def describe(self) -> dict[str, object]:
        return {"version": "0", "model": "fake", "device": "cpu"}
