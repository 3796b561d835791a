// The panel of people and layers: who and what is seen.
(function (h3r) {
  "use strict";
  const { make, icon } = h3r;
  const FEW_SIZE = 7;

  h3r.Layers = class Layers {
    constructor(player) {
      this.player = player;
      this.stage = player.stage;
      this.dropped = 0;
      this.hasSurface = player.scene.surface.length > 0;
      this.isSurfaceSeen = true;
      this.shot = 0;
      this.arePointsSeen = !this.hasSurface;
      this._drawn = new Set();  // the pieces of the surface that are: textures take seconds, and until then points are shown
      this.pointSize = null;  // meters; null: as they came
      this._known = new Set();
      const button = make(player.root, "button", "h3p-gear h3p-card", { type: "button", label: "People and layers", title: "People and layers", expanded: "false" }, icon("layers"));
      const panel = make(player.root, "div", "h3p-layers h3p-card", { hidden: true });
      const open = (isOpen) => {
        panel.hidden = !isOpen;
        button.setAttribute("aria-expanded", String(isOpen));
        document.documentElement.classList.toggle("h3p-open", isOpen);
      };
      button.onclick = () => open(panel.hidden);
      // The view ends where the panel begins; on a phone the panel is a sheet that is opened when it is wanted.
      const fits = () => window.innerWidth > 760 && window.innerHeight > 420;
      open(fits());
      window.addEventListener("resize", () => { if (!fits()) open(false); });
      player.people = new h3r.People(player, panel);
      make(panel, "h2", "", { textContent: "Show" });
      const layers = make(panel, "div", "h3p-chips", {});
      this._toggle(layers, "Labels", (isOn) => { this.stage.labels = isOn; });
      this._toggle(layers, "Trails", (isOn) => { this.trails = isOn; this._showTrails(); });
      this._toggle(layers, "Cameras", (isOn) => { player.views.showsCameras = isOn; });
      // A surface has a ground of its own.
      if (this.hasSurface) this.stage.setVisible("/floor", false);
      this.floor = this._toggle(layers, "Floor", (isOn) => this.stage.setVisible("/floor", isOn), !this.hasSurface);
      this.trails = true;
      if (Object.keys(player.scene.people_colors || {}).length) {
        const wearsClip = player.scene.people_wear === "clip";
        this._toggle(layers, "Clip's colors", (isOn) => this._dress(isOn), wearsClip);
        if (wearsClip) this._dress(true);
      }
      player.measure.build(panel);
      if (player.scene.point_bands.length || this.hasSurface || player.isLive || h3r.Moments.areThere()) this._buildScene(panel);
      this.grow();
    }

    // Take up who and what has come since the last call.
    grow() {
      const { people, point_bands, surface } = this.player.scene;
      this.player.people.grow();
      for (const person of people) {
        if (this._known.has(person.id)) continue;
        this._known.add(person.id);
        h3r.client.lift(`/people/person_${person.id}/trail`);
        if (!this.trails) this._showTrails();
      }
      for (const name of point_bands) {
        if (this._known.has(name)) continue;
        this._known.add(name);
        this.stage.setVisible(name, this.arePointsSeen || !(this.player.isLive || this._isSurfaceDrawn));
        if (h3r.drawsInSoftware && this.player.isLive) this._thin(name);
        if (this.pointSize !== null) this._resize();
      }
      for (const name of surface) {
        if (this._known.has(name)) continue;
        this._known.add(name);
        this._showSurface();
        h3r.client.keepColors(name, () => this._takeOver(name));
      }
    }

    get _isSurfaceDrawn() {
      return this.hasSurface && this.player.scene.surface.every((name) => this._drawn.has(name) || !this._isOfShot(name));
    }

    // A piece of the surface is drawn: it takes the place of the one before it, of points, and in a run of the floor.
    _takeOver(name) {
      const { surface } = this.player.scene;
      for (const other of this._drawn) if (!surface.includes(other)) this.stage.setVisible(other, false);
      this._drawn.add(name);
      if (!this.hasSurface) {
        this.hasSurface = true;
        if (this.arePointsSeen && this.points) this.points.click();
        if (this.floor.getAttribute("aria-pressed") === "true") this.floor.click();
      } else if (this._isSurfaceDrawn) this._showPoints();
    }

    _showPoints() {
      this.player.scene.point_bands.forEach((name, band) => this.stage.setVisible(name, this.arePointsSeen && band >= this.dropped));
    }

    // Each shot has a scene of its own.
    show(time_s) {
      const shot = this.player.scene.shots_s.filter((start_s) => start_s <= time_s + 1e-3).length - 1;
      if (shot === this.shot) return;
      this.shot = shot;
      this._showSurface();
    }

    _showSurface() {
      for (const name of this.player.scene.surface) this.stage.setVisible(name, this.isSurfaceSeen && this._isOfShot(name));
    }

    _isOfShot(name) { return this.player.scene.shots_s.length < 2 || name.includes(`scene_${this.shot}_`); }

    // People in the colors that the clip shows, or in those of their identities.
    _dress(isOn) {
      for (const { id, color } of this.player.scene.people) {
        const colors = this.player.scene.people_colors[id];
        if (colors) h3r.client.dress(`/people/person_${id}/body`, isOn ? h3r.bytes(colors) : null, color);
      }
    }

    _resize() {
      for (const { name, scale } of this.player.scene.point_nodes) this.stage.update(name, { point_size: this.pointSize * scale });
    }

    // Without a graphics card every point takes the processor microseconds: few and large ones show a place as well.
    _thin(name) {
      this.stage.setVisible(name + "/rest", false);
      this.stage.update(name + "/few", { point_size: FEW_SIZE * this.player.scene.point_size_m });
    }

    _showTrails() {
      for (const person of this.player.scene.people) this.stage.setVisible(`/people/person_${person.id}/trail`, this.trails);
    }

    _buildScene(panel) {
      make(panel, "h2", "", { textContent: "Scene" });
      const scene = this.player.scene, chips = make(panel, "div", "h3p-chips", {});
      const whole = [];
      if (this.hasSurface || this.player.isLive) whole.push(this._toggle(chips, "Scene without people", (isOn) => { this.isSurfaceSeen = isOn; this._showSurface(); }));
      if (scene.point_bands.length || this.player.isLive) {
        this.points = this._toggle(chips, this.hasSurface || this.player.isLive ? "Points" : "Scene without people",
          (isOn) => { this.arePointsSeen = isOn; this._showPoints(); this._showRanges(); }, this.arePointsSeen);
        whole.push(this.points);
      }
      if (h3r.Moments.areThere()) {
        let before = [];
        this._toggle(chips, "This frame's points", (isOn) => {
          // In place of the whole scene, and the real people in place of the bodies.
          const isPressed = (chip) => chip.getAttribute("aria-pressed") === "true";
          if (isOn) before = whole.filter(isPressed);
          before.filter((chip) => isPressed(chip) === isOn).forEach((chip) => chip.click());
          this.stage.showsBodies = !isOn;
          this.areMomentsSeen = isOn;
          this._showRanges();
          return this.player.moments.turn(isOn);
        }, false);
      }
      this.ranges = make(panel, "div", "", {});
      this._range(this.ranges, "Point size", 3, Math.max(40, 2500 * scene.point_size_m), 1000 * scene.point_size_m, (value) => value + " mm", (value) => {
        this.pointSize = value / 1000;
        this._resize();
        this.player.moments.resize(this.pointSize / scene.point_size_m);
      });
      const count = scene.point_bands.length;
      if (count > 1 && !this.player.isLive) {
        this._range(this.ranges, "Points shown", 1, count, count,
          (value) => (value === count ? "all" : "surest " + Math.round(100 * value / count) + " %"),
          (value) => { this.dropped = count - value; this._showPoints(); });
      }
      this._showRanges();
    }

    // What is said about points counts while there are some.
    _showRanges() { if (this.ranges) this.ranges.hidden = !this.arePointsSeen && !this.areMomentsSeen; }

    _toggle(parent, title, act, isOn = true) {
      const chip = make(parent, "button", "h3p-chip", { type: "button", textContent: title, pressed: String(isOn) });
      chip.onclick = () => {
        const now = chip.getAttribute("aria-pressed") !== "true";
        chip.setAttribute("aria-pressed", String(now));
        act(now);
        this.player.show(this.player.time_s);
      };
      return chip;
    }

    _range(parent, title, min, max, value, say, act) {
      const row = make(parent, "label", "h3p-range", {}, `<span>${title}</span>`);
      const range = make(row, "input", "", { type: "range", min, max, step: 1, value });
      const said = make(row, "output", "", { textContent: say(value) });
      range.oninput = () => { said.textContent = say(Number(range.value)); act(Number(range.value)); };
    }
  };
})(window.h3r = window.h3r || {});
