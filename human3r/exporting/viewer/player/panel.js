// What the visitor sees and presses: timeline and views, of a recording or of a run that still grows; and the messages to
// the page around.
(function (h3r) {
  "use strict";
  const { make, icon } = h3r;
  const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
  const CATCH_UP_S = 0.25;
  const NUM_FRAMES_VEILED = 4, NUM_LIVE_FRAMES_VEILED = 1;   // meshes and textures arrive over several

  h3r.Player = class Player {
    constructor(tape) {
      const isLive = tape.scene.is_live;
      this.scene = tape.scene;
      this.isLive = isLive;         // the run goes on
      this.isAtEdge = isLive;       // show every new frame as it comes
      this.stage = new h3r.Stage(tape);
      this.views = new h3r.Views(this.stage);
      this.moments = new h3r.Moments(this.stage);
      this.time_s = 0;
      this.speed = 1;
      this.loops = !isLive;
      this.isPlaying = isLive || !matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.root = make(document.body, "main", "h3p", { id: "h3p" });
      this.labels = new h3r.Labels(this);
      this.measure = new h3r.Measure(this);
      this.notice = make(this.root, "p", "h3p-notice h3p-card", { hidden: true });
      this.notice.setAttribute("role", "status");
      this._buildViews();
      this._buildBar();
      this.layers = new h3r.Layers(this);
      this.grow();
      this._listen();
      this.show(0);
      h3r.Keep.restore(this);
      this._unveil();
      let before = performance.now();
      const tick = (now) => {
        this._advance(Math.min(0.5, (now - before) / 1000));
        before = now;
        this._follow();
        h3r.Keep.tick(this, now);
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    }

    // Whether the client has taken in everything of this moment.
    get isPosed() { return h3r.client.isIdle; }

    // What lies over the canvas moves with the view.
    _follow() {
      this.labels.tick();
      this.measure.tick();
      if (this.people.hovered !== null || this.people.chosen !== null) this.people.tick();
    }

    // The name of a person on the page; people count from 1.
    static nameOf(id) { return `Person ${id + 1}`; }

    // Take the veil off once the scene is drawn.
    _unveil() {
      let left = this.isLive ? NUM_LIVE_FRAMES_VEILED : NUM_FRAMES_VEILED;
      const look = () => {
        if (left-- > 0) { requestAnimationFrame(look); return; }
        document.documentElement.classList.add("h3p-ready");
        this._hint();
      };
      look();
    }

    _hint() {
      const name = "h3r_hint";
      try { if (localStorage.getItem(name)) return; localStorage.setItem(name, "1"); } catch (error) { return; }
      const hint = make(this.root, "p", `h3p-hint h3p-card ${this.isLive ? "h3p-high" : ""}`, { textContent: matchMedia("(pointer: coarse)").matches ? "Drag to turn, pinch to zoom" : "Drag to turn, scroll to zoom" });
      const remove = () => hint.remove();
      h3r.client.canvas.addEventListener("pointerdown", remove, { once: true });
      h3r.client.canvas.addEventListener("wheel", remove, { once: true, passive: true });
      // On a phone the view may begin at the lower edge of the screen.
      const seen = new IntersectionObserver(([entry]) => {
        if (!entry.isIntersecting) return;
        seen.disconnect();
        setTimeout(remove, 8000);
      });
      seen.observe(hint);
    }

    get end_s() { return this.stage.last_s + 1 / this.scene.fps; }

    // Take up what has come since the last call.
    grow() {
      this.slider.max = String(this.end_s);
      this.viewButtons.follow.hidden = this.scene.people.length === 0;
      this.layers.grow();
      this._hasGrown = true;
      if (!this.stage.isStale) return;
      h3r.setTheme(h3r.isDark);
      this.show(this.time_s);
    }

    // Show a time and notify the page around it; a frame's own time when nothing plays, so that pictures agree.
    show(time_s) {
      this.time_s = Math.min(Math.max(0, time_s), this.end_s - 1e-4);
      const at = this.isPlaying ? this.time_s : this.stage.times_s[this.stage.frameAt(this.time_s)];
      this._hasGrown = false;
      this.stage.show(at);
      this.layers.show(at);
      this.views.tick();
      this.moments.tick();
      this.people.tick();
      this.tell();
      this.slider.value = String(this.time_s);
      this.slider.style.setProperty("--done", (100 * this.time_s / this.end_s).toFixed(2) + "%");
      this.clock.textContent = this.time_s.toFixed(1) + " / " + this.end_s.toFixed(1) + " s";
      this.slider.setAttribute("aria-valuetext", this.clock.textContent);
      this.notify();
    }

    // What the visitor should know now.
    tell() {
      const isLost = this.views.mode === "follow" && !this.stage.isPresent(this.views.subject);
      const text = this.measure.request || (isLost ? `${h3r.Player.nameOf(this.views.subject)} is not in view now.` : "");
      this.notice.hidden = text === "";
      this.notice.textContent = text;
    }

    play(isPlaying) {
      const isAtEnd = this.stage.frame === this.stage.times_s.length - 1;
      if (isPlaying && !this.loops && isAtEnd) this.time_s = 0;
      this.isPlaying = isPlaying;
      this._goLive(false);
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

    follow(id) {
      this.views.follow(id);
      this._mark("follow");
      this.show(this.time_s);
    }

    _goLive(isAtEdge) {
      if (!this.isLive) return;
      this.isAtEdge = isAtEdge;
      this.liveButton.setAttribute("aria-pressed", String(isAtEdge));
    }

    _advance(elapsed_s) {
      if (!this.isPlaying) return;
      if (this.isAtEdge) {
        // Frames come in jumps; approaching the newest one gradually gives continuous motion.
        const gap_s = this.stage.last_s - this.time_s;
        if (gap_s > 0 || this._hasGrown) this.show(gap_s < 0.01 ? this.stage.last_s : this.time_s + gap_s * Math.min(1, elapsed_s / CATCH_UP_S));
        return;
      }
      let time_s = this.time_s + this.speed * elapsed_s;
      if (this.isLive && time_s >= this.stage.last_s) this._goLive(true);
      else if (time_s >= this.end_s) {
        if (!this.loops) { this.time_s = this.stage.last_s; this.play(false); return; }
        time_s %= this.end_s;
      }
      this.show(time_s);
    }

    // The frame that is shown, and its time until the next one; also for pages that embed the player.
    notify() {
      const { frame, times_s } = this.stage, from_s = times_s[frame] ?? 0, to_s = times_s[frame + 1] ?? this.end_s;
      const message = { h3r: "frame", i: frame, from_s, to_s, people: this.people.message };
      const text = JSON.stringify(message);
      if (text === this._notified) return;
      this._notified = text;
      window.parent.postMessage(message, location.origin === "null" || location.protocol === "file:" ? "*" : location.origin);
    }

    _buildViews() {
      const bar = make(this.root, "div", "h3p-views h3p-card", { role: "group", label: "View" });
      this.viewButtons = {};
      const add = (name, title, act) => {
        this.viewButtons[name] = make(bar, "button", "", { type: "button", label: title.replace(/<.*?>/g, ""), pressed: "false" }, title);
        this.viewButtons[name].onclick = () => { this._mark(name); act(); this.show(this.time_s); };
      };
      add("world", "Overview", () => this.views.world());
      add("follow", "Follow", () => this.follow(this.views.subject ?? this.scene.people[0].id));
      add("camera", "<i>Through the </i>camera", () => this.views.camera());
      add("top", "<i>From </i>above", () => this.views.top());
      this.viewButtons.top.title = "The whole scene; press again for its near part";
      this.views.onFreed = () => this._mark("world");
      this._mark("world");
    }

    _mark(view) {
      for (const [name, button] of Object.entries(this.viewButtons)) button.setAttribute("aria-pressed", String(name === view));
      for (const row of this.root.querySelectorAll(".h3p-follow")) {
        row.setAttribute("aria-pressed", String(view === "follow" && Number(row.dataset.id) === this.views.subject));
      }
    }

    _buildBar() {
      const bar = make(this.root, "div", "h3p-bar", { role: "group", label: "Timeline" });
      this.playButton = make(bar, "button", "h3p-play", { type: "button", label: this.isPlaying ? "Pause" : "Play" }, icon(this.isPlaying ? "pause" : "play"));
      this.playButton.onclick = () => this.play(!this.isPlaying);
      const line = make(bar, "span", "h3p-line", {});
      this.slider = make(line, "input", "h3p-slider", { type: "range", min: "0", max: "1", step: "0.001", value: "0", label: "Time" });
      this.slider.oninput = () => this.seek(Number(this.slider.value));
      this.scene.shots_s.slice(1).forEach((start_s, index) => {
        make(line, "i", "h3p-cut", { title: `Shot ${index + 2}` }).style.setProperty("--at", start_s / this.stage.last_s);
      });
      this.clock = make(bar, "span", "h3p-clock", {});
      if (this.isLive) this._addLive(bar); else this._addSpeedAndLoop(bar);
      if (!document.fullscreenEnabled && window.parent === window) return;
      const full = make(bar, "button", "h3p-full", { type: "button", label: "Full screen", title: "Full screen" }, icon("full"));
      full.onclick = () => {
        // Where only videos may fill the screen (iPhones), the viewer fills the page around.
        if (!document.fullscreenEnabled) window.parent.postMessage({ h3r: "fill" }, location.origin);
        else if (document.fullscreenElement) document.exitFullscreen();
        else document.documentElement.requestFullscreen();
      };
    }

    _addLive(bar) {
      this.liveButton = make(bar, "button", "h3p-live", { type: "button", textContent: "Live", pressed: "true", title: "Show every new frame as it comes" });
      this.liveButton.onclick = () => {
        this.play(true);
        this._goLive(true);
      };
    }

    _addSpeedAndLoop(bar) {
      const speed = make(bar, "select", "", { label: "Speed", title: "Speed" });
      for (const value of SPEEDS) make(speed, "option", "", { value, textContent: value + "x", selected: value === 1 });
      speed.onchange = () => { this.speed = Number(speed.value); };
      const loop = make(bar, "button", "h3p-loop", { type: "button", label: "Loop", title: "Loop", pressed: "true" }, icon("loop"));
      loop.onclick = () => {
        this.loops = !this.loops;
        loop.setAttribute("aria-pressed", String(this.loops));
      };
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
      // A clip that is dropped on the viewer is for the page around.
      for (const name of window.parent === window ? [] : ["dragover", "dragleave", "drop"]) {
        window.addEventListener(name, (event) => {
          if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
          event.preventDefault();
          event.stopPropagation();
          window.parent.postMessage({ h3r: "dragging", isOver: name === "dragover" }, location.origin);
          const file = name === "drop" && event.dataTransfer.files[0];
          if (file) window.parent.postMessage({ h3r: "drop", file }, location.origin);
        }, true);
      }
      window.addEventListener("message", (event) => {
        if (event.source !== window.parent || event.origin !== location.origin || !event.data) return;
        if (event.data.h3r === "toggle") this.play(!this.isPlaying);
        if (event.data.h3r === "pause") this.play(false);
        if (event.data.h3r === "step") this.step(event.data.frames);
        if (event.data.h3r === "seek") {
          this.seek(this.stage.times_s[this.stage.frameAt(event.data.time_s)] ?? 0);
        }
        if (event.data.h3r === "point" || event.data.h3r === "choose") {
          const id = this.people.at((each) => this.people.inPicture(each), event.data.x, event.data.y);
          if (event.data.h3r === "point") this.people.hover(id); else if (id !== null) this.people.choose(id);
        }
        if (event.data.h3r === "view") this.viewButtons[event.data.name].click();
        if (event.data.h3r === "theme") h3r.setTheme(event.data.dark);
      });
    }
  };
})(window.h3r = window.h3r || {});
