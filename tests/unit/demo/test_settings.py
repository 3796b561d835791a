"""The command line of ``app.py``."""

from __future__ import annotations

import pytest

from demo.settings import is_within, networks_of, parse_settings


def test_without_options_only_this_machine_can_connect() -> None:
    assert parse_settings([], {}).host == "127.0.0.1"


def test_a_space_listens_where_its_proxy_looks() -> None:
    settings = parse_settings([], {"SPACE_ID": "someone/demo"})

    assert (settings.host, settings.port) == ("0.0.0.0", 7860)
    proxies = networks_of(settings.trusted_proxies)
    assert is_within("10.16.3.80", proxies)
    assert not is_within("203.0.113.9", proxies)


def test_options_are_taken() -> None:
    settings = parse_settings(["--host", "::1", "--port", "8123", "--model", "tiny", "--body", "body.npz"], {})

    assert (settings.host, settings.port, settings.model, settings.body) == ("::1", 8123, "tiny", "body.npz")


@pytest.mark.parametrize(
    "arguments", [["--port", "0"], ["--port", "70000"], ["--port", "x"], ["--nonsense"], ["--trusted-proxy", "nginx"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_settings(arguments, {})

    assert end.value.code == 2


def test_the_path_of_a_proxy_comes_from_the_option_or_from_the_environment() -> None:
    assert parse_settings([], {}).root_path == ""
    assert parse_settings(["--root-path", "/some/place/"], {}).root_path == "/some/place"
    assert parse_settings([], {"GRADIO_ROOT_PATH": "/else"}).root_path == "/else"
