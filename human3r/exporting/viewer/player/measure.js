// Distances: two clicks into the scene, and the unit in which every length is said.
(function (h3r) {
  "use strict";
  const { make } = h3r;
  const FEET_PER_M = 3.28084, NEAR_PX = 14, PICTURE_PX = 1920;

  // What is seen, with the names, on the page's ground; it is saved as a file.
  function savePicture(player) {
    const picture = h3r.client.picture(PICTURE_PX), context = picture.getContext("2d");
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, picture.width, picture.height);
    context.globalCompositeOperation = "source-over";
    player.labels.paint(context, picture.width / h3r.client.canvas.clientWidth);
    picture.toBlob((blob) => {
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "human3r.png" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  h3r.Measure = class Measure {
    constructor(player) {
      this.player = player;
      this.isOn = false;
      this.ends = [];
      this.usesFeet = false;
      try { this.usesFeet = localStorage.getItem("h3r_feet") === "1"; } catch (error) { /* storage is off */ }
      this.unit = (value_m) => (this.usesFeet ? (FEET_PER_M * value_m).toFixed(1) + " ft" : value_m.toFixed(2) + " m");
      this.line = make(player.root, "div", "h3p-measure", { hidden: true }, '<i></i><i></i><hr><output aria-live="polite"></output>');
      let down = null;
      const canvas = h3r.client.canvas;
      canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
      canvas.addEventListener("pointerup", (event) => {
        if (!this.isOn || !down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
        const point = this.pick(event.clientX, event.clientY);
        if (point) this.add(point);
      });
    }

    build(parent) {
      make(parent, "h2", "", { textContent: "Tools" });
      const chips = make(parent, "div", "h3p-chips", {});
      this.button = make(chips, "button", "h3p-chip", { type: "button", textContent: "Measure a distance", pressed: "false" });
      this.button.onclick = () => this.turn(!this.isOn);
      const picture = make(chips, "button", "h3p-chip", { type: "button", textContent: "Save a picture" });
      picture.onclick = () => savePicture(this.player);
      const feet = make(chips, "button", "h3p-chip", { type: "button", textContent: "Feet", pressed: String(this.usesFeet), title: "Lengths in feet instead of meters" });
      feet.onclick = () => {
        this.usesFeet = !this.usesFeet;
        feet.setAttribute("aria-pressed", String(this.usesFeet));
        try { localStorage.setItem("h3r_feet", this.usesFeet ? "1" : "0"); } catch (error) { /* storage is off */ }
        this.player.show(this.player.time_s);
        this.tick();
      };
    }

    turn(isOn) {
      this.isOn = isOn;
      this.ends = [];
      this.button.setAttribute("aria-pressed", String(isOn));
      h3r.client.canvas.style.cursor = isOn ? "crosshair" : "";
      if (isOn) this.player.play(false);
      this.player.tell();
      this.tick();
    }

    add(point) {
      this.ends = this.ends.length === 2 ? [point] : [...this.ends, point];
      this.player.tell();
      this.tick();
    }

    // What the visitor is asked for.
    get request() {
      return this.isOn ? ["Click a point of the scene", "Click a second point", ""][this.ends.length] : "";
    }

    get distance_m() {
      const [a, b] = this.ends;
      return b ? Math.hypot(...a.map((value, axis) => value - b[axis])) : null;
    }

    get text() {
      if (this.distance_m === null) return "";
      const sd = this.player.scene.scale_sd;
      return this.unit(this.distance_m) + (sd ? " ± " + this.unit(sd * this.distance_m) : "");
    }

    // Points stay where they are in the scene while the view moves.
    tick() {
      const [first, second, bar, said] = this.line.children, pixels = this.ends.map((point) => h3r.client.toPixels(point));
      this.line.hidden = pixels.length === 0 || pixels.includes(null);
      if (this.line.hidden) return;
      const [a, b = a] = pixels, length = Math.hypot(b[0] - a[0], b[1] - a[1]);
      [[first, a], [second, b]].forEach(([dot, [x, y]]) => { dot.style.transform = `translate(${x}px, ${y}px)`; });
      bar.style.width = length + "px";
      bar.style.transform = `translate(${a[0]}px, ${a[1]}px) rotate(${Math.atan2(b[1] - a[1], b[0] - a[0])}rad)`;
      said.textContent = this.text;
      said.hidden = b === a;
      said.style.transform = `translate(${(a[0] + b[0]) / 2}px, ${(a[1] + b[1]) / 2}px) translate(-50%, -150%)`;
    }

    // The point of the scene under a pixel: the nearest to the viewer of what is drawn there, a joint, or the floor.
    pick(x, y) {
      const { left, top } = h3r.client.canvas.getBoundingClientRect(), at = [x - left, y - top], { position } = h3r.client.view;
      let best = null, best_m = Infinity;
      const offer = (point) => {
        const pixel = h3r.client.toPixels(point);
        if (!pixel || Math.hypot(pixel[0] - at[0], pixel[1] - at[1]) > NEAR_PX) return;
        const away_m = Math.hypot(...point.map((value, axis) => value - position[axis]));
        if (away_m < best_m) { best = point; best_m = away_m; }
      };
      for (const { id } of this.player.scene.people) {
        if (!this.player.people.hidden.has(id)) (this.player.stage.joints(id) || []).forEach(offer);
      }
      const hit = h3r.client.hit(at);
      if (hit) {
        const away_m = Math.hypot(...hit.map((value, axis) => value - position[axis]));
        if (away_m < best_m) best = hit;
      }
      return best;
    }
  };
})(window.h3r = window.h3r || {});
