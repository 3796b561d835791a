// Where the viewer stands: free in the world, with a person, in the filming camera, or above.
(function (h3r) {
  "use strict";
  const CURRENT = "/camera/current";
  const FOLLOW_DISTANCE_M = 3.6;
  const PICTURE_NODE = "/camera";

  function rotate(wxyz, v) {
    const [w, x, y, z] = wxyz;
    const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
    return [v[0] + w * t[0] + y * t[2] - z * t[1], v[1] + w * t[1] + z * t[0] - x * t[2],
      v[2] + w * t[2] + x * t[1] - y * t[0]];
  }
  const plus = (a, b, scale = 1) => a.map((value, axis) => value + scale * b[axis]);

  h3r.Views = class Views {
    constructor(stage, viewer) {
      this.stage = stage;
      this.viewer = viewer;
      this.scene = stage.tape.scene;
      this.mode = "world";
      this.subject = null;
      this.showsCameras = true;
      this.onFreed = () => {};
      // Who takes hold of the filming camera's view leaves it where it is.
      viewer.canvas.addEventListener("pointerdown", () => {
        if (this.mode === "camera") { this._set("world"); this.onFreed(); }
      });
      if (this.scene.views) this._lens(this.scene.views.world.fov);
    }

    world() {
      this._set("world");
      this._lens(this.scene.views.world.fov);
      this.viewer.resetCameraPose(true);
    }

    top() {
      this._set("top");
      const view = this.scene.views.top;
      this._lens(view.fov);
      this._stand(view.position, view.look_at, view.up, true);
    }

    follow(track_id) {
      const from = this.mode;
      this._set("follow");
      this.subject = track_id;
      const pelvis = this._subjectAt();
      if (!pelvis) return;
      if (from === "camera" || from === "top") this._lens(this.scene.views.world.fov);
      const world = this.scene.views.world;
      const offset = plus(world.position, world.look_at, -1), length = Math.hypot(...offset);
      this._stand(plus(pelvis, offset, FOLLOW_DISTANCE_M / length), pelvis, [0, 1, 0], false);
    }

    camera() { this._set("camera"); this.tick(); }

    // After every moment that the stage has shown.
    tick() {
      if (this.mode === "follow") {
        const pelvis = this._subjectAt();
        if (pelvis) this.viewer.cameraControl.moveTo(...this._toThree(pelvis), false);
      }
      if (this.mode === "camera") this._enterCamera();
      this.stage.setVisible(PICTURE_NODE, this.showsCameras && this.mode !== "camera");
    }

    _enterCamera() {
      const place = this.stage.nodeAt(CURRENT);
      if (!place) return;
      const canvas = this.viewer.canvas, half = this.scene.half_height[this.stage.frame];
      // The whole picture fits: a narrow window needs a taller view.
      const widening = Math.max(1, this.scene.aspect * canvas.clientHeight / canvas.clientWidth);
      this._see(2 * Math.atan(half * widening));
      this._stand(place.position, plus(place.position, rotate(place.wxyz, [0, 0, 1]), 3),
        rotate(place.wxyz, [0, -1, 0]), false);
    }

    _subjectAt() { return this.stage.pelvis(this.subject); }

    _set(mode) {
      this.mode = mode;
      this.stage.setVisible(PICTURE_NODE, this.showsCameras && mode !== "camera");
    }

    // Views are made for windows that are at least as wide as high: a narrow one sees as much from side to side.
    _lens(fov) {
      const { clientHeight, clientWidth } = this.viewer.canvas;
      this._see(2 * Math.atan(Math.tan(fov / 2) * Math.max(1, clientHeight / clientWidth)));
    }

    _see(fov) { h3r.send({ type: "SetCameraFovMessage", fov, initial: false }); }

    _toThree(point) { return rotate(window.__viserSceneTree.getState()[""].wxyz, point); }

    _stand(position, look_at, up, isSmooth) {
      const control = this.viewer.cameraControl, camera = this.viewer.camera;
      camera.up.set(...this._toThree(up));
      control.updateCameraUp();
      control.setLookAt(...this._toThree(position), ...this._toThree(look_at), isSmooth);
      this.viewer.requestRender();
    }
  };
})(window.h3r = window.h3r || {});
