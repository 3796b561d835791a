"""Only the models that the page offers are ever loaded for a visitor, and nothing is looked up for other names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_engine import FakeEngine

import human3r
from demo.engine import Engine, RunRequest
from demo.examples import Gallery
from demo.page.api import Services, _endpoint, read_request
from demo.runs import Runs
from demo.settings import Settings
from demo.storage import ResultStore
from human3r import InputError, ReconstructOptions, RunControl

NOT_OFFERED = ["tiny", "human3r_896l", "/etc/passwd", "../x.pth", "nothing", "COMPACT", ["compact"], {"a": 1}, 3]


@pytest.fixture
def visited(tmp_path: Path) -> list[str]:
    """Weight files on the server; one exists, the other does not."""
    (tmp_path / "there.safetensors").write_bytes(b"x")
    return [str(tmp_path / "there.safetensors"), str(tmp_path / "absent.safetensors")]


@pytest.mark.parametrize("model", NOT_OFFERED, ids=repr)
def test_another_model_is_one_sentence_that_lists_the_offered_ones(model: object) -> None:
    with pytest.raises(InputError, match="does not offer") as refusal:
        read_request(Settings(), ("compact", "other"), None, 0, 0, 0, None, model, False, 0, 0)
    assert refusal.value.remedy == "Choose compact or other."


@pytest.mark.parametrize("model", [None, "", "auto", "compact"])
def test_nothing_and_auto_stand_for_the_default(model: object) -> None:
    assert read_request(Settings(), ("compact", "other"), None, 0, 0, 0, None, model, False, 0, 0).model == "compact"


def test_the_api_answers_the_same_for_files_that_exist_and_that_do_not(
    engine: FakeEngine, runs: Runs, store: ResultStore, visited: list[str]
) -> None:
    services = Services(Settings(), engine, runs, store, Gallery(engine, store), engine.model_names())
    reconstruct = _endpoint(services)
    request = SimpleNamespace(session_hash="someone", client=None, cookies={})
    answers = set()
    for path in visited:
        with pytest.raises(Exception, match="does not offer") as refusal:
            next(reconstruct("clip.mp4", model=path, request=request))
        answers.add(str(refusal.value))
        assert path not in str(refusal.value)
    assert len(answers) == 1
    *_, (summary, _) = reconstruct("clip.mp4", request=request)
    assert summary["frames"] == engine.num_frames


def test_the_engine_itself_refuses_and_keeps_the_model_that_it_holds(
    monkeypatch: pytest.MonkeyPatch, visited: list[str], store: ResultStore
) -> None:
    loaded: list[str] = []
    folder = store.open("someone")

    def load(name: str, **_: object) -> object:
        loaded.append(name)
        return SimpleNamespace(name=name, device="cpu", sha256="0")

    monkeypatch.setattr(human3r, "load_model", load)
    engine = Engine("compact", None)
    held = engine._model("auto")
    for model in ("tiny", "nothing", *visited):
        with pytest.raises(InputError, match="not offered"):
            engine.reconstruct(RunRequest(Path("clip.mp4"), model, ReconstructOptions()), [], RunControl(), folder)
    assert engine._model(None) is held
    assert loaded == ["compact"]


def test_a_server_that_was_started_with_a_path_shows_the_name_of_the_file_only(
    monkeypatch: pytest.MonkeyPatch, visited: list[str]
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(human3r, "load_model", lambda name, **_: loaded.append(name))
    engine = Engine(visited[0], None)
    assert engine.model_names()[0] == "there.safetensors"
    assert engine.describe()["model"] == "there.safetensors"
    engine._model("there.safetensors")
    assert loaded == [visited[0]]


def test_tiny_is_offered_where_the_server_was_started_with_it() -> None:
    assert Engine("tiny", None).model_names()[0] == "tiny"
    assert "tiny" not in Engine("compact", None).model_names()
