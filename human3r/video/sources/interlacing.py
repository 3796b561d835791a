"""Interlaced frames show two moments: separate them with FFmpeg's filter; find combs that no flag announces."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.filter import Graph

IndexedFrame = tuple[int, av.VideoFrame]
"""(index in presentation order, frame)."""
_MIN_COMB = 12
"""Smallest difference of a row from both neighbors that is seen as a tooth of a comb, of 255."""
_TEETH = 6
"""Rows in a column that alternate in a comb."""
_STEP = 4
"""Every so many columns are looked at."""
_EVERY = 5
"""Every so many frames are looked at."""
_MIN_SHARE = 0.001
"""Least share of a combed frame's pixels in combs."""
_MIN_RATIO = 3.0
"""Least ratio of combs to stripes across them, of which noise has as many."""


class Deinterlacer:
    """Keeps the first field of every interlaced frame and fills in the lines of the other one."""

    def __init__(self) -> None:
        self.num_frames = 0
        """Interlaced frames so far."""
        self._graph: Graph | None = None
        self._shape = (0, 0, "")

    def apply(self, decoded: Iterator[IndexedFrame]) -> Iterator[IndexedFrame]:
        """Yield the same frames; from the first interlaced one on they come one frame later."""
        for index, frame in decoded:
            shape = frame.height, frame.width, frame.format.name
            if self._graph is not None and shape != self._shape:
                yield from self._pull(None)
                self._graph = None
            if self._graph is None and frame.interlaced_frame:
                self._graph, self._shape = _build_graph(frame), shape
            self.num_frames += bool(frame.interlaced_frame)
            if self._graph is None:
                yield index, frame
                continue
            frame.pts, frame.time_base = index, Fraction(1)
            yield from self._pull(frame)
        if self._graph is not None:
            yield from self._pull(None)

    def _pull(self, frame: av.VideoFrame | None) -> Iterator[IndexedFrame]:
        """Put in a frame, or the end, and yield what is ready."""
        graph = cast("Graph", self._graph)
        try:
            graph.push(frame)
            while True:
                ready = cast("av.VideoFrame", graph.pull())
                yield round(cast("int", ready.pts) * cast("Fraction", ready.time_base)), ready
        except (BlockingIOError, EOFError):  # PyAV: nothing is ready, nothing will come
            return


def _build_graph(frame: av.VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


class CombCounter:
    """Counts combed frames among some of those that a clip calls progressive."""

    def __init__(self) -> None:
        self._num_seen = self._num_measured = self._num_combed = 0
        self._before: np.ndarray | None = None

    def see(self, frame: av.VideoFrame) -> None:
        """Look at a frame of which no part was scaled."""
        self._num_seen += 1
        if self._num_seen % _EVERY != 1:
            return
        gray = frame.reformat(format="gray").to_ndarray()
        combs, across = _combs(gray[:, ::_STEP]), _combs(gray[::_STEP].T)
        if self._before is not None and self._before.shape == combs.shape:
            # Stripes of things are where they were, combs are where something moves.
            self._num_measured += 1
            share = float((combs & ~self._before).mean())
            self._num_combed += share > max(_MIN_SHARE, _MIN_RATIO * float(across.mean()))
        self._before = combs

    @property
    def is_interlaced(self) -> bool:
        """Whether a quarter of the frames is combed."""
        return self._num_combed >= max(2, self._num_measured / 4)


def _combs(gray: np.ndarray) -> np.ndarray:
    """Return where rows alternate between brighter and darker than both neighbors."""
    steps = np.diff(gray.astype(np.int16), axis=0)
    up, down = steps > _MIN_COMB, steps < -_MIN_COMB
    num_rows = max(0, len(steps) - _TEETH)
    turns = [np.ones((num_rows, gray.shape[1]), bool) for _ in range(2)]
    for row in range(_TEETH):
        for turn, is_first in zip(turns, (True, False), strict=True):
            turn &= (up if is_first == (row % 2 == 0) else down)[row : row + num_rows]
    return turns[0] | turns[1]
