"""The layers of a result: trails and the camera's path, the surest points, a saved picture; and the words around."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import ROOT
from pictures import share_of_hue
from PIL import Image
from web_steps import upload

from human3r.exporting.viewer.scene import PATH_COLOR
from human3r.palette import person_color

pytestmark = [pytest.mark.web, pytest.mark.timeout(1800)]

LINES = """(names) => names.map((name) => {
  let line = null;
  __viserMutable.nodeRefFromName[name].traverse((node) => {
    if (node.material && node.material.isLineMaterial) line = node;
  });
  const { instanceStart, instanceEnd } = line.geometry.attributes;
  const gaps = Array.from({ length: instanceStart.count - 1 }, (_, index) => Math.hypot(
    ...["getX", "getY", "getZ"].map((axis) => instanceStart[axis](index + 1) - instanceEnd[axis](index))));
  const { color, polygonOffset } = line.material;
  return { color: color.getHexString(), widest_gap: Math.max(...gaps), is_over_the_ground: polygonOffset };
})"""
"""What is drawn under these nodes: the line's color, and the distance between the end of a piece and the next one."""


def test_trails_are_unbroken_lines_in_the_colors_of_people_and_the_cameras_path_is_gray(example) -> None:
    _, viewer = example
    people = viewer.evaluate("h3r.player.scene.people.map(({ id }) => id)")
    assert len(people) > 1
    *trails, path = viewer.evaluate(LINES, [*(f"/people/person_{id}/trail" for id in people), "/camera/path"])

    assert [trail["color"] for trail in trails] == [bytes(person_color(id)).hex() for id in people]
    assert max(trail["widest_gap"] for trail in trails) < 1e-6
    assert all(trail["is_over_the_ground"] for trail in trails)
    assert path["color"] == bytes(PATH_COLOR).hex()
    assert PATH_COLOR not in [person_color(id) for id in range(12)]
    seen = f"__viserSceneTree.getState()['/people/person_{people[0]}/trail'].effectiveVisibility"
    trails_chip = viewer.locator(".h3p-chip", has_text="Trails")
    for is_seen in (False, True):
        trails_chip.evaluate("chip => chip.click()")
        viewer.wait_for_function(f"({seen}) === {str(is_seen).lower()}")


def test_points_are_shown_down_to_the_surest_fifth(example) -> None:
    _, viewer = example
    chip = viewer.locator(".h3p-chip", has_text=re.compile("^Points$"))
    shown = "h3r.player.scene.point_bands.map(name => __viserSceneTree.getState()[name].effectiveVisibility)"
    chip.evaluate("chip => chip.click()")
    row = viewer.locator(".h3p-range", has_text="Points shown")
    slide = "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }"

    assert row.locator("output").inner_text() == "all"
    viewer.wait_for_function(f"({shown}).every(Boolean)")
    row.locator("input").evaluate(slide, 1)
    assert row.locator("output").inner_text() == "surest 20 %"
    viewer.wait_for_function(f"JSON.stringify({shown}) === '[false,false,false,false,true]'")
    row.locator("input").evaluate(slide, 5)
    chip.evaluate("chip => chip.click()")
    viewer.wait_for_function(f"({shown}).every(isSeen => !isSeen)")


def test_a_saved_picture_is_large_and_opaque_and_has_people_and_names(example, tmp_path) -> None:
    page, viewer = example
    viewer.evaluate("h3r.player.seek(3)")
    viewer.wait_for_function("h3r.client.isIdle")
    drawn = viewer.evaluate("h3r.client.canvas.width")
    with page.expect_download() as download:
        viewer.locator(".h3p-chip", has_text="Save a picture").evaluate("chip => chip.click()")
    assert download.value.suggested_filename == "human3r.png"
    download.value.save_as(tmp_path / "human3r.png")

    image = Image.open(tmp_path / "human3r.png").convert("RGBA")
    picture = np.asarray(image).astype(float)
    assert max(image.size) in range(1918, 1923)
    assert picture[..., 3].min() == 255
    assert picture[2, 2, :3].tolist() == [23, 27, 33]  # the page's ground
    assert share_of_hue(picture[..., :3], 0) > 0.002
    assert (picture[..., :3].min(axis=-1) > 250).sum() > 200  # the letters
    assert viewer.evaluate("h3r.client.canvas.width") == drawn


def test_every_word_of_the_page_is_as_agreed_and_dark_outlives_a_reload(example, page) -> None:
    example_page, _ = example
    more = example_page.locator(".h3-more").text_content()
    assert "for tools that only read BVH (centimeters)" in more
    assert page.locator(".h3-empty p").inner_text() == (
        "See people, place and camera in 3D. Open an example or add a clip."
    )
    upload(page, ROOT / "examples" / "pose2sim_two_people_portrait.mp4")
    page.get_by_role("button", name="Options").click()
    page.get_by_label("At most … frames").fill("3")
    page.get_by_label("Frames per second").fill("10")
    page.locator(".h3-facts", has_text=re.compile(r"; 3 of 50 frames, at 10 fps, takes about \d+ s$")).wait_for()

    is_dark = "document.body.classList.contains('dark')"
    assert not page.evaluate(is_dark)
    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()
    page.get_by_role("button", name="Reconstruct").wait_for()
    page.wait_for_function(is_dark)
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 18, 22)"
