// The points of single frames ("4D points"): depth and color per pixel of a coarse grid, unprojected when they are shown.
(function (h3r) {
  "use strict";
  const NODE = "/moment";
  const FIRST_DEPTH_M = 2;   // nearer points are one group; every doubling of the depth is another
  const NUM_GROUPS = 5;
  const OVERLAP = 1.25;      // of neighboring points, so that surfaces close

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
      this.zoom = 1;  // how large points are drawn, beside the distance to their neighbors
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
      for (let group = 0; group < NUM_GROUPS; group++) this.stage.setVisible(NODE + group, this.isOn);
      if (!this.isOn || this._shown === this.stage.frame) return;
      this._shown = this.stage.frame;
      this._unproject(this.stage.frame).forEach((updates, group) => this.stage.update(NODE + group, updates));
    }

    resize(zoom) {
      this.zoom = zoom;
      this._shown = -1;
      this.tick();
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
      for (let group = 0; group < NUM_GROUPS; group++) {
        h3r.client.send({ type: "PointCloudMessage", name: NODE + group, virtual: false, props: {
          points: new Float32Array(3), colors: new Uint8Array(3), point_size: 0.01, point_shape: "circle",
          point_shading: "flat", precision: "float32", scale: 1 } });
      }
    }

    // The points of a frame in groups by depth: what is further away lies further apart and is drawn larger.
    _unproject(frame) {
      const { head, count, depth, color } = this._file, at = Math.min(frame, head.frames.length - 1);
      const { K: [fx, fy, cx, cy], T } = head.frames[at], [x0, y0, x1, y1] = head.rect;
      const groups = Array.from({ length: NUM_GROUPS }, () => ({ points: [], colors: [], depth: 0 }));
      for (let pixel = 0; pixel < count; pixel++) {
        const z = depth[at * count + pixel] * head.depth_unit_m;
        if (z === 0) continue;
        const group = groups[Math.min(NUM_GROUPS - 1, Math.max(0, Math.ceil(Math.log2(z / FIRST_DEPTH_M))))];
        const column = pixel % head.width, row = (pixel - column) / head.width;
        const x = (x0 + (column + 0.5) * (x1 - x0) / head.width - 0.5 - cx) / fx * z;
        const y = (y0 + (row + 0.5) * (y1 - y0) / head.height - 0.5 - cy) / fy * z;
        for (let axis = 0; axis < 3; axis++) {
          group.points.push(T[4 * axis] * x + T[4 * axis + 1] * y + T[4 * axis + 2] * z + T[4 * axis + 3]);
          group.colors.push(color[3 * (at * count + pixel) + axis]);
        }
        group.depth += z;
      }
      const spacing = OVERLAP * (x1 - x0) / head.width / fx;
      // viser takes no empty cloud.
      for (const group of groups) if (group.points.length === 0) Object.assign(group, { points: [0, 0, 0], colors: [0, 0, 0] });
      return groups.map(({ points, colors, depth }) => ({
        points: Float32Array.from(points), colors: Uint8Array.from(colors),
        point_size: this.zoom * spacing * 3 * depth / Math.max(1, points.length) }));
    }
  };
})(window.h3r = window.h3r || {});
