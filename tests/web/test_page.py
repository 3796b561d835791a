"""The page as a visitor meets it: the real app, a real browser."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from pictures import changed, share_of_hue
from synthetic_clips import patch_display_matrix
from web_steps import (
    eventually,
    frames_said,
    last_s,
    note_statuses,
    paused_player,
    seek,
    start_run,
    time_s,
    upload,
    viewer_token,
)

from human3r.video.writer import VideoWriter

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]

DEFAULT_FRAMES = 300
LIVE_BYTES = 20_000
"""A scene has reached the browser: the client's greeting alone is far smaller."""
MIN_PERSON_PIXELS = 0.002
"""Least part of the picture that is in the color of people; they stand a few meters away."""
MIN_CHANGED = 0.001
"""Least part of the picture that another moment must change."""


DISTANCE = "(a, b) => Math.hypot(...a.map((value, axis) => value - b[axis]))"
SAVED = (
    "stood => Object.entries(sessionStorage).some(([name, view]) => name.startsWith('h3r_view_')"
    f" && ({DISTANCE})(JSON.parse(view).position, stood) < 0.01)"
)
"""The player of a run has written down where the visitor stands."""
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as Linux lists them."""


def _listening(pid: int) -> set[tuple[str, int]]:
    """Addresses and ports on which a process and its children listen (Linux)."""
    pids = {str(pid)}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        if fields[1] in pids:
            pids.add(stat.parent.name)
    inodes = set()
    for number in pids:
        try:
            descriptors = list(Path(f"/proc/{number}/fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    places = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            columns = row.split()
            if columns[3] == "0A" and columns[9] in inodes:
                address, port = columns[1].rsplit(":", 1)
                places.add((address, int(port, 16)))
    return places


def _status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _health(url: str) -> dict:
    with urllib.request.urlopen(f"{url}healthz", timeout=60) as answer:
        return json.load(answer)


def _person_pixels(picture) -> float:
    """Part of the picture whose hue is that of one of the first people."""
    return max(share_of_hue(picture, track) for track in range(4))


def test_an_example_shows_people_who_follow_the_timeline_with_the_overlay_synchronous(page) -> None:
    page.locator("button.h3-tile").first.click()
    player = paused_player(page)

    early, late = (seek(page, player, part * last_s(player)) for part in (0.3, 0.6))

    assert _person_pixels(early) > MIN_PERSON_PIXELS
    assert changed(early, late) > MIN_CHANGED
    video = page.locator("[data-h3=overlay]")
    frame_s = 1.0 / float(video.get_attribute("data-fps"))
    page.wait_for_function(
        "([video, time, frame]) => Math.abs(video.currentTime - time) < frame",
        arg=[video.element_handle(), time_s(player), frame_s],
    )
    assert page.problems == []


def test_the_idle_app_listens_on_one_port(page, app) -> None:
    eventually(
        page,
        lambda: {port for _, port in _listening(app.pid)} == {app.port},
        "a live viewer of an earlier run is still open",
    )


def test_no_file_of_the_machine_is_served(app) -> None:
    paths = [Path(__file__), Path(__file__).resolve().parents[2] / "app.py", Path("/etc/passwd"), app.log]

    for path in paths:
        assert _status_of(f"{app.url}gradio_api/file={path}") in (403, 404)
    assert _status_of(f"{app.url}viewer/../../../../etc/passwd") == 404


def test_a_file_that_is_not_a_clip_is_one_sentence_and_the_server_continues(page, app, tmp_path: Path) -> None:
    fake = tmp_path / "notes.mp4"
    fake.write_text("This is text.\n" * 50)

    upload(page, fake)
    text = page.locator(".h3-problem").inner_text()

    assert text.endswith(".")
    assert "Traceback" not in text
    assert "internal error" not in text
    health = _health(app.url)
    assert (health["status"], health["active_jobs"], health["queued_jobs"]) == ("ok", 0, 0)


def test_a_run_behind_a_proxy_is_shown_live_survives_a_reload_stops_and_frees_the_viewer(
    slow_page, slow_app, proxy, long_clip: Path
) -> None:
    page, url = slow_page, slow_app.url
    note_statuses(page)
    start_run(page, long_clip)
    token = viewer_token(page)
    is_live = re.compile(rf"/viewer/{token}/live$").search
    eventually(page, lambda: any(map(is_live, proxy.passed.paths)), "the live viewer opened no socket")
    # Viewers of former tests may have filled the count.
    eventually(page, lambda: proxy.passed.socket_bytes > LIVE_BYTES, "nothing came over the live viewer's socket")
    places = _listening(slow_app.pid)
    assert len(places) == 2
    assert {address for address, _ in places} <= LOOPBACK
    said = frames_said(page)
    assert said == sorted(said)

    page.reload()
    page.locator(".h3-status", has_text="frame ").wait_for()
    page.locator(".h3-side img").wait_for()
    assert viewer_token(page) == token
    live = page.locator(".h3-viewer iframe").element_handle().content_frame()
    live.wait_for_function("window.h3r && h3r.player && h3r.player.stage.times_s.length > 2")
    live.evaluate("h3r.client.stand([1, 2, 3], [0, 1, 0], [0, 1, 0], false)")
    live.wait_for_function(
        "Math.hypot(...h3r.client.view.position.map((value, axis) => value - [1, 2, 3][axis])) < 0.01"
    )
    stood = live.evaluate("h3r.Keep.read(h3r.player)")
    live.wait_for_function(SAVED, arg=stood["position"])
    page.get_by_role("button", name="Stop").click()
    player = paused_player(page)
    player.wait_for_function(
        f"stood => ({DISTANCE})(stood, h3r.Keep.read(h3r.player).position) < 0.05", arg=stood["position"]
    )

    frames = int(page.locator(".h3-status").inner_text().split(" frame")[0])
    assert page.locator(".h3-note").inner_text() == f"Stopped after {frames} of {DEFAULT_FRAMES} frames."
    assert 0 < frames < DEFAULT_FRAMES
    eventually(page, lambda: _status_of(f"{url}viewer/{token}/live/") == 404, "the live viewer is still there")
    eventually(page, lambda: _health(url)["active_jobs"] == 0, "the run goes on")
    assert player.url.startswith(f"{proxy.url}viewer/{token}/")
    download = page.request.get(page.locator("a[download='reconstruction.npz']").evaluate("link => link.href"))
    assert (download.status, download.body()[:2]) == (200, b"PK")
    assert proxy.passed.outside == []
    assert page.problems == []


def test_the_viewer_of_a_running_job_is_our_player_and_grows_and_a_new_run_starts_after_a_stop(
    slow_page, long_clip: Path
) -> None:
    page = slow_page
    start_run(page, long_clip)
    player = page.locator(".h3-viewer iframe").element_handle().content_frame()
    player.wait_for_function("window.h3r && h3r.player && h3r.player.isLive && h3r.player.isAtEdge")
    player.evaluate("h3r.player.seek(0)")
    seen = player.evaluate("h3r.player.stage.times_s.length")

    player.wait_for_function(f"h3r.player.stage.times_s.length > {seen} + 2")

    assert player.evaluate("[h3r.player.isAtEdge, h3r.player.stage.frame]") == [False, 0]
    panels = "[...document.querySelectorAll('[data-floating-window]')].filter((panel) => panel.offsetParent).length"
    assert player.evaluate(panels) == 0
    player.evaluate("document.querySelector('.h3p-live').click()")
    player.wait_for_function(f"h3r.player.isAtEdge && h3r.player.stage.frame > {seen}")
    page.get_by_role("button", name="Stop").click()
    page.locator("[data-h3=recording] iframe").wait_for()
    page.get_by_role("button", name="Reconstruct").click()
    page.locator(".h3-status", has_text="frame ").wait_for()
    assert page.problems == []


def test_a_phone_clip_is_shown_upright(slow_page, tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    with VideoWriter(path, fps=10) as writer:
        for level in range(0, 240, 2):  # longer than the page takes to show the first frame
            writer.append(np.full((48, 96, 3), level, np.uint8))

    start_run(slow_page, patch_display_matrix(path, (0, 1, -1, 0)))

    assert "48x96, rotated 90°" in slow_page.locator(".h3-facts").first.inner_text()
    picture = slow_page.locator(".h3-portrait img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert picture == [48, 96]


def test_a_second_visitor_waits_until_the_first_closes_the_tab(open_page, slow_page, slow_app, long_clip: Path) -> None:
    url = slow_app.url
    start_run(slow_page, long_clip)
    token = viewer_token(slow_page)

    second = open_page(url)
    upload(second, long_clip)
    second.get_by_role("button", name="Reconstruct").click()
    second.get_by_text("Waiting: 1 run before yours").first.wait_for()
    assert token not in second.content()
    slow_page.context.close()
    second.locator(".h3-status", has_text="frame ").wait_for()

    assert _status_of(f"{url}viewer/{token}/live/") == 404
    assert _status_of(f"{url}viewer/AAAAAAAAAAAAAAAAAAAAAA/play/") == 404
    assert _status_of(f"{url}viewer/{token}/..%2f..%2fapp.py") == 404


def test_an_example_stops_a_run_which_stays_open_under_its_link_until_it_is_deleted(
    open_page, app, long_clip: Path
) -> None:
    page = open_page(f"{app.url}?")
    page.locator("[data-h3=recording] iframe").wait_for()
    first = page.locator("[data-h3=recording] iframe").element_handle().content_frame()
    first.wait_for_function("window.h3r && h3r.player && h3r.player.isPlaying && h3r.player.stage.frame > 0")
    first.evaluate("h3r.player.play(false)")
    start_run(page, long_clip)
    token = viewer_token(page)
    page.locator("button.h3-tile").first.click()

    page.locator(".h3-note", has_text="Your run was stopped to open this example.").wait_for()
    page.locator("[data-h3=recording] iframe").wait_for()
    assert viewer_token(page) != token
    page.get_by_role("link", name="Open what it had").click()
    page.wait_for_function("token => location.search.includes(token)", arg=token)
    page.locator(".h3-downloads").wait_for()
    assert viewer_token(page) == token
    assert page.get_by_role("button", name="Copy link · kept for 1 hour").is_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete now").click()
    page.locator(".h3-status", has_text="Deleted. The files of this result are gone.").wait_for()
    assert _status_of(f"{app.url}viewer/{token}/scene.glb") == 404
    assert page.problems == []


def test_the_page_fits_a_phone(page) -> None:
    page.set_viewport_size({"width": 390, "height": 780})

    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    viewer = page.locator(".h3-viewer").bounding_box()

    assert overflow == 0
    assert viewer["height"] >= 390
