// The names over the heads: text of the page over the canvas, sharp at any size. From above, where people and the
// filming camera may be specks, there is a dot at each.
(function (h3r) {
  "use strict";
  const { make } = h3r;
  const GAMMA = 2.2, MAX_LUMINANCE = 0.17, GAP_PX = 2, BAR_PX = 54;  // white on it has a contrast of 4.5 (WCAG 2.1, 1.4.3) and a little more
  const CAMERA_COLOR = [122, 130, 144];

  // A person's color, as dark as white letters need it.
  function dark(rgb) {
    const [red, green, blue] = rgb.map((value) => (value / 255) ** GAMMA);
    const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    const scale = Math.min(0.78, (MAX_LUMINANCE / luminance) ** (1 / GAMMA));
    return rgb.map((value) => Math.round(scale * value));
  }

  h3r.Labels = class Labels {
    constructor(player) {
      this.player = player;
      this.root = make(player.root, "div", "h3p-labels", {});
      this.root.setAttribute("aria-hidden", "true");  // the list of people says the same
      this._labels = new Map();
      this._labels.set("camera", this._add("Camera", CAMERA_COLOR));
      window.addEventListener("resize", () => this._labels.forEach((label) => { label.size = null; }));
    }

    tick() {
      const { stage, scene, people, views } = this.player, placed = [];
      this.root.classList.toggle("h3p-dots", views.mode === "top");
      for (const { id, color } of scene.people) {
        if (!this._labels.has(id)) this._labels.set(id, this._add(h3r.Player.nameOf(id).replace(/^\D+/, "<b>$&</b>"), color));
        const label = this._labels.get(id), isSeen = stage.labels && !people.hidden.has(id);
        this._show(label, isSeen ? stage.label(id) : null, placed);
        label.classList.toggle("h3p-chosen", people.chosen === id || people.hovered === id);
      }
      const isMarked = stage.labels && views.mode === "top" && views.showsCameras;
      this._show(this._labels.get("camera"), isMarked ? stage.camera().position : null, placed);
    }

    _show(label, at, placed) {
      const pixels = at && h3r.client.toPixels(at);
      label.hidden = !pixels;
      if (pixels) this._place(label, pixels, placed);
    }

    // Over the head, below the bar, beside the edges, or above the labels that are there already; the color says whose
    // it is.
    _place(label, [x, y], placed) {
      label.size = label.size || [label.offsetWidth + GAP_PX, label.offsetHeight + GAP_PX];
      const [width, height] = label.size, at_px = y, aside_px = x, right = h3r.client.canvas.clientWidth;
      if (x > 0 && x < right) x = Math.min(Math.max(x, width / 2), right - width / 2);
      if (y > 0) y = Math.max(y, BAR_PX + height);
      const covers = (other) => Math.abs(other.x - x) < (other.width + width) / 2 && Math.abs(other.y - y) < height;
      for (let other = placed.find(covers); other; other = placed.find(covers)) y = other.y - height;
      placed.push({ x, y, width });
      label.style.setProperty("--dot", `${(at_px - y).toFixed(1)}px`);
      label.style.setProperty("--aside", `${(aside_px - x).toFixed(1)}px`);
      label.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -100%)`;
    }

    // The same names on a picture of the view, which is so many times as large.
    paint(context, scale) {
      context.setTransform(scale, 0, 0, scale, 0, 0);
      Object.assign(context, { font: "600 12px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
      for (const label of this._labels.values()) {
        const { left, top, width, height } = label.getBoundingClientRect();
        if (width === 0) continue;
        context.fillStyle = label.style.background;
        context.beginPath();
        context.roundRect(left, top, width, height, height / 2);
        context.fill();
        context.fillStyle = "#fff";
        context.fillText(label.innerText, left + width / 2, top + height / 2 + 1);
      }
    }

    _add(name, color) {
      const label = make(this.root, "span", "", { hidden: true }, name);
      label.style.background = `rgb(${dark(color)})`;
      return label;
    }
  };
})(window.h3r = window.h3r || {});
