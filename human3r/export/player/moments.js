// The points of single frames ("4D points"): depth and colour per pixel of a coarse grid, unprojected when they are shown.
(function (h3r) {
  "use strict";
  const NODE = "/moment";

  async function bytesOf() {
    if (window.__H3R_MOMENTS__) {
      return Uint8Array.from(atob(window.__H3R_MOMENTS__), (letter) => letter.charCodeAt(0));
    }
    const answer = await fetch("../moments.bin");
    if (!answer.ok) throw new Error("no moments: " + answer.status);
    return new Uint8Array(await answer.arrayBuffer());
  }

  h3r.Moments = class Moments {
    constructor(stage) {
      this.stage = stage;
      this.isOn = false;
      this.point_size = 0.012;
      this._file = null;
      this._shown = -1;
    }

    static areThere() { return Boolean(window.__H3R_MOMENTS__) || /[?&]moments=1/.test(location.search); }

    async turn(isOn) {
      this.isOn = isOn;
      if (isOn && this._file === null) await this._load();
      this._shown = -1;
      this.tick();
    }

    // After every moment that the stage has shown.
    tick() {
      if (this._file === null) return;
      this.stage.setVisible(NODE, this.isOn);
      if (!this.isOn || this._shown === this.stage.frame) return;
      this._shown = this.stage.frame;
      this.stage.update(NODE, this._unproject(this.stage.frame));
    }

    resize(point_size) {
      this.point_size = point_size;
      if (this._file !== null) this.stage.update(NODE, { point_size });
    }

    async _load() {
      const zipped = new Blob([await bytesOf()]).stream().pipeThrough(new DecompressionStream("gzip"));
      const buffer = await new Response(zipped).arrayBuffer();
      const length = new DataView(buffer).getUint32(4, true);
      const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
      const count = head.height * head.width;
      const depth = new Uint16Array(buffer, 8 + length, count * head.frames.length);
      const color = new Uint8Array(buffer, 8 + length + 2 * depth.length, 3 * depth.length);
      this._file = { head, count, depth, color };
      h3r.send({ type: "PointCloudMessage", name: NODE, owner: "", virtual: false, props: {
        points: new Float32Array(3), colors: new Uint8Array(6), point_size: this.point_size, point_shape: "circle",
        point_shading: "flat", precision: "float32", scale: 1 } });
    }

    _unproject(frame) {
      const { head, count, depth, color } = this._file, at = Math.min(frame, head.frames.length - 1);
      const { K: [fx, fy, cx, cy], T } = head.frames[at], [x0, y0, x1, y1] = head.rect;
      const points = new Float32Array(3 * count), colors = new Uint8Array(3 * count);
      let filled = 0;
      for (let pixel = 0; pixel < count; pixel++) {
        const z = depth[at * count + pixel] * head.depth_unit_m;
        if (z === 0) continue;
        const column = pixel % head.width, row = (pixel - column) / head.width;
        const x = (x0 + (column + 0.5) * (x1 - x0) / head.width - 0.5 - cx) / fx * z;
        const y = (y0 + (row + 0.5) * (y1 - y0) / head.height - 0.5 - cy) / fy * z;
        for (let axis = 0; axis < 3; axis++) {
          points[3 * filled + axis] = T[4 * axis] * x + T[4 * axis + 1] * y + T[4 * axis + 2] * z + T[4 * axis + 3];
          colors[3 * filled + axis] = color[3 * (at * count + pixel) + axis];
        }
        filled++;
      }
      return { points: points.slice(0, 3 * filled), colors: colors.slice(0, 3 * filled) };
    }
  };
})(window.h3r = window.h3r || {});
