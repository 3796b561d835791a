"""The control panel of a live viewer: timeline, playback, people, point size.

Owns what the visitor has chosen; what is drawn is the scene's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from human3r.export import viser_scene

if TYPE_CHECKING:
    import viser


class ShownScene(Protocol):
    """What the controls act on."""

    num_frames: int
    """Frames that can be shown."""

    def show(self, frame: int) -> None:
        """Move everything to a frame."""

    def set_visible(self, node: str, *, is_visible: bool) -> None:
        """Show or hide a node by name."""

    def set_point_size(self, size_m: float) -> None:
        """Change the size of all scene points."""


class Controls:
    """The panel: timeline, playback, people, point size."""

    def __init__(self, scene: ShownScene, server: viser.ViserServer, fps: float, *, is_open: bool) -> None:
        self._scene = scene
        self._gui = server.gui
        self._gui.configure_theme(show_logo=False, show_share_button=False)
        self._gui.set_panel_label("Human3R")
        if not is_open:
            self._gui.main_panel.minimize()
        with self._gui.add_folder("Timeline"):
            self._frame = self._gui.add_slider("Frame", min=0, max=1, step=1, initial_value=0)
            self._follow = self._gui.add_checkbox("Follow", initial_value=True, hint="Jump to each new frame")
            self._playing = self._gui.add_checkbox("Play", initial_value=False)
            self._fps = self._gui.add_slider("Speed (fps)", min=1, max=60, step=1, initial_value=min(max(fps, 1), 60))
        with self._gui.add_folder("Scene"):
            self._points = self._gui.add_checkbox("Points", initial_value=True)
            self._size = self._gui.add_slider("Point size (mm)", min=2, max=50, step=1, initial_value=15)
            self._cameras = self._gui.add_checkbox("Camera", initial_value=True)
        self._people = self._gui.add_folder("People")
        self._frame.on_update(lambda _: self._show_selected())
        self._points.on_update(lambda _: scene.set_visible("/points", is_visible=self._points.value))
        self._cameras.on_update(lambda _: scene.set_visible("/camera", is_visible=self._cameras.value))
        self._size.on_update(lambda _: scene.set_point_size(self.point_size_m))
        self._last = 0

    @property
    def point_size_m(self) -> float:
        """Chosen size of scene points, metres."""
        return self._size.value / 1000

    @property
    def interval_s(self) -> float:
        """Time between two frames of playback, seconds."""
        return 1.0 / max(self._fps.value, 1)

    def add_person(self, track: int) -> None:
        """Add the toggle of a person, in the person's colour."""
        node = viser_scene.person_node(track)
        with self._people:
            toggle = self._gui.add_checkbox(f"Person {track}", initial_value=True)
        toggle.on_update(lambda _: self._scene.set_visible(node, is_visible=toggle.value))

    def grow(self, num_frames: int) -> None:
        """Lengthen the timeline, and show the new frame if nobody looks at an older one."""
        self._last = num_frames - 1
        self._frame.max = max(self._last, 1)
        if self._follow.value:
            self._frame.value = self._last
            self._scene.show(self._last)

    def rewind(self) -> None:
        """Show the first frame and play."""
        self._follow.value = False
        self._frame.value = 0
        self._scene.show(0)
        self._playing.value = True

    def tick(self) -> None:
        """Advance playback by one frame, if it is on."""
        if self._playing.value and self._last > 0:
            self._follow.value = False
            self._frame.value = (int(self._frame.value) + 1) % (self._last + 1)

    def _show_selected(self) -> None:
        frame = int(self._frame.value)
        if frame < self._last:
            self._follow.value = False
        if frame <= self._last and self._scene.num_frames:
            self._scene.show(min(frame, self._scene.num_frames - 1))
