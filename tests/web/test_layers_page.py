"""The layers of a result: trails and the camera's path, the surest points, a saved picture; and the words around."""

from __future__ import annotations

import base64
import io
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

LINE = """(name) => {
  let line = null;
  __viserMutable.nodeRefFromName[name].traverse((node) => {
    if (node.material && node.material.isLineMaterial) line = node;
  });
  const { instanceStart, instanceEnd } = line.geometry.attributes, count = instanceStart.count;
  const at = (ends, index) => [ends.getX(index), ends.getY(index), ends.getZ(index)];
  const gaps = Array.from({ length: count - 1 }, (_, index) => {
    const next = at(instanceStart, index + 1);
    return Math.hypot(...at(instanceEnd, index).map((value, axis) => next[axis] - value));
  });
  const pixels = Array.from({ length: count }, (_, index) => h3r.client.toPixels(at(instanceStart, index)));
  return { color: line.material.color.getHexString(), widest_gap: Math.max(...gaps), pixels };
}"""
"""What is drawn under a node: color, widest gap between two pieces of the line, where its points are in pixels."""


def _share_seen(picture: np.ndarray, pixels: np.ndarray, color: tuple[int, int, int]) -> float:
    """Return the share of points of a line beside which its color is, of those within the picture."""
    wanted = np.array(color) - np.mean(color)
    away = picture - picture.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(away, axis=-1)
    is_line = (away @ wanted > 0.93 * length * np.linalg.norm(wanted)) & (length > 40)
    rows, columns = pixels.round().astype(int)[:, ::-1].T
    height, width = is_line.shape
    inside = (rows > 3) & (rows < height - 3) & (columns > 3) & (columns < width - 3)
    around = [
        is_line[row - 3 : row + 4, column - 3 : column + 4].any()
        for row, column in zip(rows[inside], columns[inside], strict=True)
    ]
    return float(np.mean(around))


def test_trails_are_unbroken_lines_in_the_colors_of_people_and_the_cameras_path_is_gray(example) -> None:
    _, viewer = example
    people = viewer.evaluate("h3r.player.scene.people.map(({ id }) => id)")
    assert len(people) > 1
    viewer.evaluate("h3r.player.stage.showsBodies = false; h3r.player.show(0)")
    viewer.wait_for_function("h3r.client.isIdle")
    encoded = viewer.evaluate("h3r.client.picture(1000).toDataURL().split(',')[1]")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA"))[..., :3].astype(float)
    scale = picture.shape[1] / viewer.evaluate("h3r.client.canvas.clientWidth")
    trails = [viewer.evaluate(LINE, f"/people/person_{id}/trail") for id in people]
    assert [trail["color"] for trail in trails] == [bytes(person_color(id)).hex() for id in people]
    assert max(trail["widest_gap"] for trail in trails) < 1e-6
    # The second person walks over open, uneven ground; the first one goes on where a wall hides him.
    assert _share_seen(picture, scale * np.array(trails[1]["pixels"]), person_color(people[1])) > 0.95
    viewer.evaluate("h3r.player.stage.showsBodies = true; h3r.player.show(0)")

    assert viewer.evaluate(LINE, "/camera/path")["color"] == bytes(PATH_COLOR).hex()
    assert PATH_COLOR not in [person_color(id) for id in range(12)]


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
    page.locator(".h3-facts", has_text=re.compile(r"; 3 of 50 frames: 0.3 s at 10 fps, takes about \d+ s$")).wait_for()

    is_dark = "document.body.classList.contains('dark')"
    assert not page.evaluate(is_dark)
    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()
    page.get_by_role("button", name="Reconstruct").wait_for()
    page.wait_for_function(is_dark)
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 18, 22)"
