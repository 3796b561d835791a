// What the visitor sees and presses: timeline, views, people and layers; and the messages to the page around.
(function (h3r) {
  "use strict";
  const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
  const ICONS = {
    play: "M7 4.5v15l12-7.5z", pause: "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z",
    loop: "M17 3l4 4-4 4V8H8a3 3 0 0 0-3 3v1H3v-1a5 5 0 0 1 5-5h9zM7 21l-4-4 4-4v3h9a3 3 0 0 0 3-3v-1h2v1a5 5 0 0 1-5 5H7z",
    layers: "M4 6h10v2H4zm14 0h2v2h-2v1.6h-2V4.4h2zM4 16h2v2H4zm6 0h10v2H10v1.6H8v-5.2h2zM4 11h4v2H4zm8 0h8v2h-8v1.6h-2V9.4h2z",
    full: "M4 4h6v2H6v4H4zm10 0h6v6h-2V6h-4zM4 14h2v4h4v2H4zm14 0h2v6h-6v-2h4z",
    eye: "M12 6c4.6 0 8 3.4 9.6 6-1.6 2.6-5 6-9.6 6s-8-3.4-9.6-6C4 9.4 7.4 6 12 6zm0 2.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
  };
  const icon = (name) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path fill-rule="evenodd" d="${ICONS[name]}"/></svg>`;

  function make(parent, tag, className, properties, html) {
    const element = Object.assign(document.createElement(tag), { className, ...properties });
    if (html) element.innerHTML = html;
    for (const name of ["label", "pressed", "expanded"]) {
      if (properties && properties[name] !== undefined) element.setAttribute("aria-" + name, properties[name]);
    }
    parent.append(element);
    return element;
  }

  h3r.Player = class Player {
    constructor(tape, viewer) {
      this.scene = tape.scene;
      this.stage = new h3r.Stage(tape, viewer);
      this.views = new h3r.Views(this.stage, viewer);
      this.moments = new h3r.Moments(this.stage);
      this.time_s = 0;
      this.speed = 1;
      this.loops = true;
      this.isPlaying = true;
      this.end_s = this.stage.last_s + 1 / this.scene.fps;
      this.root = make(document.body, "div", "h3p", { id: "h3p" });
      this._buildViews();
      this._buildLayers();
      this._buildBar();
      this._listen();
      this.show(0);
      let before = performance.now();
      const tick = (now) => {
        this._advance(Math.min(0.5, (now - before) / 1000));
        before = now;
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }

    // Show a time and tell the page around; a frame's own time when nothing plays, so that pictures agree.
    show(time_s) {
      this.time_s = Math.min(Math.max(0, time_s), this.end_s - 1e-4);
      const at = this.isPlaying ? this.time_s : this.stage.times_s[this.stage.frameAt(this.time_s)];
      this._isDone = this.stage.show(at);
      this.views.tick();
      this.moments.tick();
      this.slider.value = String(this.time_s);
      this.slider.style.setProperty("--done", (100 * this.time_s / this.end_s).toFixed(2) + "%");
      this.clock.textContent = this.time_s.toFixed(1) + " / " + this.end_s.toFixed(1) + " s";
      this.slider.setAttribute("aria-valuetext", this.clock.textContent);
      this._tell();
    }

    play(isPlaying) {
      if (isPlaying && !this.loops && this.stage.frame === this.stage.times_s.length - 1) this.time_s = 0;
      this.isPlaying = isPlaying;
      this.playButton.innerHTML = icon(isPlaying ? "pause" : "play");
      this.playButton.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
      this.show(this.time_s);
    }

    seek(time_s) {
      if (this.isPlaying) this.play(false);
      this.show(time_s);
    }

    step(frames) {
      const times = this.stage.times_s, frame = this.stage.frameAt(this.time_s) + frames;
      this.seek(times[Math.min(Math.max(0, frame), times.length - 1)]);
    }

    _advance(elapsed_s) {
      if (!this.isPlaying) {
        if (!this._isDone || this.stage.isStale) this.show(this.time_s);
        return;
      }
      let time_s = this.time_s + this.speed * elapsed_s;
      if (time_s >= this.end_s) {
        if (!this.loops) { this.time_s = this.stage.last_s; this.play(false); return; }
        time_s %= this.end_s;
      }
      this.show(time_s);
    }

    _tell() {
      const message = { h3r: "frame", i: this.stage.frame, time_s: this.time_s, plays: this.isPlaying };
      const text = JSON.stringify(message);
      if (text === this._told) return;
      this._told = text;
      window.parent.postMessage(message, location.origin === "null" || location.protocol === "file:" ? "*" : location.origin);
    }

    _buildViews() {
      const bar = make(this.root, "div", "h3p-views h3p-card", { role: "group", label: "View" });
      const people = this.scene.people;
      this.viewButtons = {};
      const add = (name, title, act) => {
        this.viewButtons[name] = make(bar, "button", "", { type: "button", textContent: title, pressed: "false" });
        this.viewButtons[name].onclick = () => { this._mark(name); act(); this.show(this.time_s); };
      };
      add("world", "World", () => this.views.world());
      if (people.length) add("follow", "Follow", () => this.views.follow(this.views.subject ?? people[0].id));
      add("camera", "Camera", () => this.views.camera());
      add("top", "Top", () => this.views.top());
      this.views.onFreed = () => this._mark("world");
      this._mark("world");
    }

    _mark(view) {
      for (const [name, button] of Object.entries(this.viewButtons)) button.setAttribute("aria-pressed", String(name === view));
      for (const row of this.root.querySelectorAll(".h3p-follow")) {
        row.setAttribute("aria-pressed", String(view === "follow" && Number(row.dataset.id) === this.views.subject));
      }
    }

    _buildLayers() {
      const button = make(this.root, "button", "h3p-gear h3p-card", { type: "button", label: "People and layers", title: "People and layers", expanded: "false" }, icon("layers"));
      const panel = make(this.root, "div", "h3p-layers h3p-card", { hidden: true });
      const open = (isOpen) => { panel.hidden = !isOpen; button.setAttribute("aria-expanded", String(isOpen)); };
      button.onclick = () => open(panel.hidden);
      open(window.innerWidth > 760 && window.innerHeight > 420);
      if (this.scene.people.length) this._buildPeople(panel);
      else make(panel, "p", "h3p-none", { textContent: "Nobody was found in this clip." });
      make(panel, "h2", "", { textContent: "Show" });
      const layers = make(panel, "div", "h3p-chips", {});
      this._toggle(layers, "Labels", (isOn) => { this.stage.labels = isOn; });
      this._toggle(layers, "Trails", (isOn) => this.scene.people.forEach((person) =>
        this.stage.setVisible(`/people/person_${person.id}/trail`, isOn)));
      this._toggle(layers, "Cameras", (isOn) => { this.views.showsCameras = isOn; });
      this._toggle(layers, "Floor", (isOn) => this.stage.setVisible("/floor", isOn));
      if (this.scene.point_bands.length || h3r.Moments.areThere()) this._buildPoints(panel);
    }

    _buildPeople(panel) {
      make(panel, "h2", "", { textContent: "People" });
      const list = make(panel, "ul", "", {});
      for (const person of this.scene.people) {
        const name = `Person ${person.id}`, row = make(list, "li", "", {});
        const eye = make(row, "button", "h3p-eye", { type: "button", pressed: "true", label: `Show ${name}`, title: "Show or hide" },
          `<i style="background:rgb(${person.color})"></i><span>${name}</span>${icon("eye")}`);
        eye.onclick = () => {
          const isOn = eye.getAttribute("aria-pressed") !== "true";
          eye.setAttribute("aria-pressed", String(isOn));
          this.stage.setVisible(`/people/person_${person.id}`, isOn);
        };
        const follow = make(row, "button", "h3p-follow", { type: "button", textContent: "Follow", pressed: "false", label: `Follow ${name}` });
        follow.dataset.id = person.id;
        follow.onclick = () => { this.views.follow(person.id); this._mark("follow"); this.show(this.time_s); };
      }
    }

    _buildPoints(panel) {
      make(panel, "h2", "", { textContent: "Points" });
      const bands = this.scene.point_bands, chips = make(panel, "div", "h3p-chips", {});
      let dropped = 0, isScene = true;
      const apply = () => bands.forEach((name, band) => this.stage.setVisible(name, isScene && band >= dropped));
      const whole = bands.length && this._toggle(chips, "Whole scene", (isOn) => { isScene = isOn; apply(); });
      if (h3r.Moments.areThere()) {
        this._toggle(chips, "This moment", (isOn) => {
          if (whole && isOn === (whole.getAttribute("aria-pressed") === "true")) whole.click();
          return this.moments.turn(isOn);
        }, false);
      }
      this._range(panel, "Size", 3, 40, 1000 * this.scene.point_size_m, (value) => value + " mm", (value) => {
        for (const name of bands) this.stage.update(name, { point_size: value / 1000 });
        this.moments.resize(value / 1000);
      });
      if (bands.length > 1) {
        this._range(panel, "Surest", 1, bands.length, bands.length, (value) => Math.round(100 * value / bands.length) + " %",
          (value) => { dropped = bands.length - value; apply(); });
      }
    }

    _toggle(parent, title, act, isOn = true) {
      const chip = make(parent, "button", "h3p-chip", { type: "button", textContent: title, pressed: String(isOn) });
      chip.onclick = () => {
        const now = chip.getAttribute("aria-pressed") !== "true";
        chip.setAttribute("aria-pressed", String(now));
        act(now);
        this.show(this.time_s);
      };
      return chip;
    }

    _range(parent, title, min, max, value, say, act) {
      const row = make(parent, "label", "h3p-range", {}, `<span>${title}</span>`);
      const range = make(row, "input", "", { type: "range", min, max, step: 1, value });
      const said = make(row, "output", "", { textContent: say(value) });
      range.oninput = () => { said.textContent = say(Number(range.value)); act(Number(range.value)); };
    }

    _buildBar() {
      const bar = make(this.root, "div", "h3p-bar", { role: "group", label: "Timeline" });
      this.playButton = make(bar, "button", "h3p-play", { type: "button", label: "Pause" }, icon("pause"));
      this.playButton.onclick = () => this.play(!this.isPlaying);
      this.slider = make(bar, "input", "h3p-slider", { type: "range", min: "0", max: String(this.end_s), step: "0.001", value: "0", label: "Time" });
      this.slider.oninput = () => this.seek(Number(this.slider.value));
      this.clock = make(bar, "span", "h3p-clock", {});
      const speed = make(bar, "select", "", { label: "Speed", title: "Speed" });
      for (const value of SPEEDS) make(speed, "option", "", { value, textContent: value + "x", selected: value === 1 });
      speed.onchange = () => { this.speed = Number(speed.value); };
      const loop = make(bar, "button", "h3p-loop", { type: "button", label: "Loop", title: "Loop", pressed: "true" }, icon("loop"));
      loop.onclick = () => {
        this.loops = !this.loops;
        loop.setAttribute("aria-pressed", String(this.loops));
      };
      if (!document.fullscreenEnabled) return;
      const full = make(bar, "button", "h3p-full", { type: "button", label: "Full screen", title: "Full screen" }, icon("full"));
      full.onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
    }

    _listen() {
      const acts = { Space: () => this.play(!this.isPlaying), ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
        Home: () => this.seek(0), End: () => this.seek(this.stage.last_s) };
      // First in line: viser's own playback listens to the space bar, its camera to the arrows.
      window.addEventListener("keydown", (event) => {
        const act = acts[event.code];
        if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
        event.stopImmediatePropagation();
        if (event.target.closest && event.target.closest(event.code === "Space" ? "button, select" : "select, .h3p-range")) return;
        event.preventDefault();
        act();
      }, true);
      window.addEventListener("message", (event) => {
        if (event.source !== window.parent || event.origin !== location.origin || !event.data) return;
        if (event.data.h3r === "toggle") this.play(!this.isPlaying);
        if (event.data.h3r === "step") this.step(event.data.frames);
        if (event.data.h3r === "seek") {
          this.seek(event.data.frame === undefined ? event.data.time_s : this.stage.times_s[event.data.frame] ?? 0);
        }
        if (event.data.h3r === "theme") h3r.setTheme(event.data.dark);
      });
    }
  };

  h3r.setTheme = function (isDark) {
    document.documentElement.classList.toggle("h3p-dark", isDark);
    if (h3r.send) h3r.send({ type: "ThemeConfigurationMessage", titlebar_content: null, control_layout: "floating",
      control_width: "medium", show_logo: false, show_share_button: false, dark_mode: isDark, colors: null });
  };

  // Only recordings have a tape; a live viewer's controls come from its server.
  if (!h3r.isRecording) return;
  const tape = new h3r.Tape();
  h3r.hookViewer(tape, (viewer) => {
    h3r.setTheme(h3r.wantsDark());
    h3r.runToTheEnd(tape, () => { h3r.player = new h3r.Player(tape, viewer); });
  });
})(window.h3r = window.h3r || {});
