// Where the viewer stands: free in the world, with a person, in the filming camera, or above.
(function (h3r) {
  "use strict";
  const FOLLOW_DISTANCE_M = 3.6;
  const PICTURE_NODE = "/camera";
  const OPENING_S = 7, OPENING_TURN = 0.35;  // the opening move: seconds, radians

  function rotate(wxyz, v) {
    const [w, x, y, z] = wxyz;
    const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
    return [v[0] + w * t[0] + y * t[2] - z * t[1], v[1] + w * t[1] + z * t[0] - x * t[2],
      v[2] + w * t[2] + x * t[1] - y * t[0]];
  }
  const plus = (a, b, scale = 1) => a.map((value, axis) => value + scale * b[axis]);

  h3r.Views = class Views {
    constructor(stage) {
      this.stage = stage;
      this.scene = stage.tape.scene;
      this.mode = "world";
      this.subject = null;
      this.showsCameras = true;
      this.onFreed = () => {};
      this._openUntilTouched();
      // A drag frees the viewer from the filming camera, where it is.
      h3r.client.canvas.addEventListener("pointerdown", () => {
        if (this.mode === "camera") { this._set("world"); this.onFreed(); }
      });
      // The layers beside the canvas, a turned phone or a filled screen change its shape.
      new ResizeObserver(() => { if (this._view) this._setFieldOfView(this._view); }).observe(h3r.client.canvas);
      if (!this.scene.views) return;
      const { position, look_at, up } = this._first;
      this._setFieldOfView(this._first);
      if (this._first === this.scene.views.tall) h3r.client.stand(position, look_at, up, false);
    }

    world() { this._go("world", this._first); }

    // The whole scene, and when it is asked for again its near part.
    top() {
      const { near, top } = this.scene.views;
      this._isNear = this.mode === "top" && !this._isNear;
      this._go("top", this._isNear ? near : top);
    }

    follow(track_id) {
      const from = this.mode, world = this._first;
      this._set("follow");
      this.subject = track_id;
      const pelvis = this.stage.pelvis(this.subject);
      if (!pelvis) return;
      if (from === "camera" || from === "top") this._setFieldOfView(world);
      const offset = plus(world.position, world.look_at, -1);
      h3r.client.stand(plus(pelvis, offset, FOLLOW_DISTANCE_M / Math.hypot(...offset)), pelvis, [0, 1, 0], false);
    }

    camera() { this._set("camera"); this.tick(); }

    // The first view, for the window's shape.
    get _first() {
      const { tall, world } = this.scene.views, { clientHeight, clientWidth } = h3r.client.canvas;
      return clientHeight > clientWidth ? tall : world;
    }

    // After every moment that the stage has shown.
    tick() {
      if (this.mode === "follow") {
        const pelvis = this.stage.pelvis(this.subject);
        if (pelvis) h3r.client.moveTo(pelvis);
      }
      if (this.mode === "camera") this._enterCamera();
      this.stage.setVisible(PICTURE_NODE, this.showsCameras && this.mode !== "camera");
    }

    // At first the viewer moves slowly around the scene to where the first view is, until the first touch.
    _openUntilTouched() {
      const view = this.scene.views && this._first;
      if (!view || this.scene.is_live || h3r.drawsInSoftware || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
      const start = performance.now(), offset = plus(view.position, view.look_at, -1);
      const stop = () => { this._opens = false; events.forEach((name) => window.removeEventListener(name, stop, true)); };
      const events = ["pointerdown", "wheel", "keydown", "touchstart"];
      events.forEach((name) => window.addEventListener(name, stop, true));
      this._opens = true;
      const move = (now) => {
        if (!this._opens || this.mode !== "world") return;
        const left = 1 - Math.min(1, Math.max(0, now - start) / (1000 * OPENING_S)), turn = OPENING_TURN * left * left * left;
        const [x, y, z] = offset, c = Math.cos(turn), s = Math.sin(turn);
        h3r.client.stand(plus(view.look_at, [c * x + s * z, y, c * z - s * x]), view.look_at, view.up, false);
        if (left > 0) requestAnimationFrame(move); else stop();
      };
      requestAnimationFrame(move);
    }

    _go(mode, view) {
      this._set(mode);
      this._setFieldOfView(view);
      h3r.client.stand(view.position, view.look_at, view.up, true);
    }

    _enterCamera() {
      const { wxyz, position } = this.stage.camera(), half = this.scene.half_height[this.stage.frame];
      // The whole picture fits: a narrow window needs a taller view.
      const { clientHeight, clientWidth } = h3r.client.canvas;
      this._view = null;
      this._sendFieldOfView(2 * Math.atan(half * Math.max(1, this.scene.aspect * clientHeight / clientWidth)));
      h3r.client.stand(position, plus(position, rotate(wxyz, [0, 0, 1]), 3), rotate(wxyz, [0, -1, 0]), false);
    }

    _set(mode) {
      this.mode = mode;
      this.stage.setVisible(PICTURE_NODE, this.showsCameras && mode !== "camera");
    }

    // A narrow window sees as much from side to side as the view needs.
    _setFieldOfView(view) {
      const { fov, aspect } = this._view = view, { clientHeight, clientWidth } = h3r.client.canvas;
      this._sendFieldOfView(2 * Math.atan(Math.tan(fov / 2) * Math.max(1, aspect * clientHeight / clientWidth)));
    }

    _sendFieldOfView(fov) {
      if (fov === this._fov) return;
      this._fov = fov;
      h3r.client.send({ type: "SetCameraFovMessage", fov, initial: false });
    }
  };
})(window.h3r = window.h3r || {});
