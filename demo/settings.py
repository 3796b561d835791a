"""The command line of the demo and all of its limits."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

LOOPBACK = "127.0.0.1"
SPACES_HOST = "0.0.0.0"  # noqa: S104 - a Space is only reachable through its own proxy, which needs this address
SPACES_PORT = 7860
SPACES_PROXIES = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "::1")
"""Private networks, in which a Space's proxies are. Source: RFC 1918, RFC 6598, RFC 4193."""
_EVERYWHERE = ("0.0.0.0/0", "::/0")
SPACES_ORIGINS = ("https://huggingface.co", "https://*.hf.space")


@dataclass(frozen=True)
class Settings:
    """Address, model and limits."""

    host: str = LOOPBACK
    """Address to bind."""
    port: int | None = None
    """Port, or None for the first free one from 7860."""
    model: str = "auto"
    """Name or path of the default model."""
    body: str | None = None
    """Path of a licensed SMPL-X file, or None for the embedded body."""
    root_path: str = ""
    """Path under which a reverse proxy publishes the demo, such as ``/human3r``; empty for the root."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1",)
    """Addresses and networks of proxies; the last address of ``X-Forwarded-For`` that is none of them is the visitor's.
    With ``*``, which is every address, the first one is, so that the proxy has to replace what visitors send."""
    allow_hosts: tuple[str, ...] = ()
    """Host names under which the server answers, besides localhost and IP addresses; ``*`` is every name."""
    allow_origins: tuple[str, ...] = ()
    """Origins of other sites that may embed the page and send requests."""
    max_upload_mb: int = 200
    """Maximum size of an upload."""
    max_total_upload_mb: int = 4000
    """Maximum sum of the uploads that have not expired."""
    max_frames: int = 600
    """Maximum number of frames of a run."""
    default_frames: int = 300
    """Default limit of the frames of a run."""
    max_waiting: int = 32
    """Maximum number of queued runs."""
    max_per_visitor: int = 3
    """Maximum number of queued or active runs of one address; without bound on this machine itself."""
    max_results: int = 64
    """Maximum number of stored results; beyond it, the visitor who has most loses the oldest."""
    max_live_s: float = 2 * 60
    """Longest recording of a live run, seconds."""
    live_patience_s: float = 30
    """Time within which a lost socket of a live run can come back, seconds."""
    file_ttl_s: float = 60 * 60
    """Time to live of a result and its files."""
    reload_grace_s: float = 15
    """A run ends when no page has shown it for this long: enough for a reload."""
    sweep_every_s: float = 30
    """Interval between removals of expired results."""


def parse_settings(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Parse the command line; on a Space (``SPACE_ID`` is set) the address is the one that its proxy expects.

    Raises:
        SystemExit: Wrong usage (exit code 2) or ``--help``.
    """
    on_spaces = bool(environment.get("SPACE_ID"))
    parser = argparse.ArgumentParser(prog="app.py", description="People, scene and camera in 4D: the web demo.")
    parser.add_argument("--host", default=SPACES_HOST if on_spaces else LOOPBACK, help="address to bind (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=SPACES_PORT if on_spaces else None, help="port (first free from 7860)"
    )
    parser.add_argument("--model", default="auto", help="model name or path (%(default)s)")
    parser.add_argument("--body", default=None, help="licensed SMPL-X file (default: the embedded body)")
    parser.add_argument(
        "--root-path",
        default=environment.get("GRADIO_ROOT_PATH", ""),
        help="path under which a reverse proxy shows the demo, such as /human3r",
    )
    parser.add_argument(
        "--allow-host", action="append", default=["*"] if on_spaces else [], metavar="NAME", help="name of this server"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=list(SPACES_ORIGINS) if on_spaces else [],
        metavar="ORIGIN",
        help="other site that may embed the page, such as https://example.org",
    )
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        metavar="ADDRESS",
        help="address or network of a proxy in front, which sends X-Forwarded-For; may be repeated "
        "(127.0.0.1; on a Space: private networks)",
    )
    options = parser.parse_args(arguments)
    if options.port is not None and not 0 < options.port < 65536:
        parser.error(f"--port must be between 1 and 65535, got {options.port}")
    proxies = tuple(options.trusted_proxy or (SPACES_PROXIES if on_spaces else [LOOPBACK]))
    try:
        networks_of(proxies)
    except ValueError as error:
        parser.error(f"--trusted-proxy takes an address, a network or *: {error}")
    return Settings(
        options.host,
        options.port,
        options.model,
        options.body,
        options.root_path.rstrip("/"),
        proxies,
        tuple(options.allow_host),
        tuple(options.allow_origin),
    )


def networks_of(proxies: Sequence[str]) -> list[IPv4Network | IPv6Network]:
    """Return the networks of the proxies, also as a socket for both kinds of addresses writes them.

    Raises:
        ValueError: One is neither an address nor a network.
    """
    networks = [ip_network(part, strict=False) for one in proxies for part in (_EVERYWHERE if one == "*" else (one,))]
    v4 = [network for network in networks if isinstance(network, IPv4Network)]
    return [*networks, *(ip_network(f"::ffff:{one.network_address}/{96 + one.prefixlen}") for one in v4)]


def is_within(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Return whether an address belongs to one of the networks."""
    try:
        host = ip_address(address)
    except ValueError:
        return False
    return any(host in network for network in networks)
