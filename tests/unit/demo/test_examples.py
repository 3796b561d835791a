"""Examples that open from precomputed results."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_engine import FakeEngine, make_reconstruction

from demo import examples, messages
from demo.examples import EXAMPLES, Example, Gallery
from demo.storage import ResultStore
from demo.tools.precompute import MAX_BYTES, thin_points

EXAMPLE = EXAMPLES[0]


@pytest.fixture
def precomputed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    monkeypatch.setattr(examples, "ROOT", tmp_path)
    (tmp_path / "precomputed").mkdir()
    make_reconstruction(4).save(EXAMPLE.precomputed(".npz"))
    EXAMPLE.clip.write_bytes(b"clip")
    return EXAMPLE


def test_an_example_is_prepared_once_and_shared(precomputed: Example, engine: FakeEngine, store: ResultStore) -> None:
    gallery = Gallery(engine, store)

    first, second = gallery.open(precomputed), gallery.open(precomputed)

    assert first is second
    assert engine.exported == ["player.viser", "overlay.mp4"]
    assert gallery.clip_of(first.folder) == precomputed.clip


def test_a_result_of_another_model_is_not_shown(precomputed: Example, engine: FakeEngine, store: ResultStore) -> None:
    engine.source = "other model"

    assert Gallery(engine, store).open(precomputed) is None
    assert len(store) == 0


def test_a_result_of_earlier_weights_is_shown_and_says_so(
    precomputed: Example, engine: FakeEngine, store: ResultStore
) -> None:
    engine.source = "earlier weights"

    assert Gallery(engine, store).open(precomputed).warnings == (messages.EARLIER_WEIGHTS,)


def test_a_visitors_result_has_no_example_clip(engine: FakeEngine, store: ResultStore) -> None:
    assert Gallery(engine, store).clip_of(store.open("someone")) is None


def test_the_shipped_examples_are_small_and_have_their_files() -> None:
    for example in EXAMPLES:
        assert example.clip.stat().st_size <= 1_500_000
        assert example.precomputed(".npz").stat().st_size <= MAX_BYTES
        assert example.precomputed(".jpg").is_file()


def test_thinning_keeps_points_with_their_colors() -> None:
    result = make_reconstruction(2)

    thinned = thin_points(result, 3)

    assert [len(thinned.points_world), len(thinned.points_color), len(thinned.points_frame)] == [3, 3, 3]
    assert thin_points(result, 10) is result
