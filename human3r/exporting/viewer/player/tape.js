// The motion tape: everything that moves, by frame. The layout of its chunks is described in tape.py.
(function (h3r) {
  "use strict";
  const CAMERA = 7, JOINTS = 7 * 55, BODY = JOINTS + 3;

  // One thing that changes: its values at some of the frames, in rising order.
  h3r.Track = class Track {
    constructor() { this.frames = []; this.values = []; }

    add(frame, value) { this.frames.push(frame); this.values.push(value); }

    // Index of the newest value at or before a frame, -1 before the first.
    at(frame) {
      let low = 0, high = this.frames.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.frames[middle] <= frame) low = middle + 1; else high = middle;
      }
      return low - 1;
    }
  };

  h3r.Tape = class Tape {
    constructor() {
      this.scene = null;          // facts: aspect, views, fps, people, points; and times_s, half_height per frame
      this.numRepeats = 0;        // chunks that came again, after the connection was lost
      this.cameras = [];          // per frame, wxyz and position
      this.bodies = new Map();    // identity -> Track of 55 joints of wxyz and position, and the label's position
      this.pictures = new h3r.Track();
    }

    get numFrames() { return this.cameras.length; }

    // Take in a chunk; one that is on the tape already is only counted.
    append(bytes) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
      if (header.scene) this._open(header.scene);
      if (header.first !== this.numFrames) { this.numRepeats++; return; }
      let offset = 4 + length;
      const floats = (count) => {
        const values = new Float32Array(bytes.slice(offset, offset + 4 * count).buffer);
        offset += 4 * count;
        return values;
      };
      for (let row = 0; row < header.times_s.length; row++) this.cameras.push(floats(CAMERA));
      for (const { id, frames } of header.bodies) {
        if (!this.bodies.has(id)) this.bodies.set(id, new h3r.Track());
        for (const frame of frames) this.bodies.get(id).add(frame, floats(BODY));
      }
      for (const [frame, size] of header.pictures) {
        this.pictures.add(frame, bytes.slice(offset, offset + size));
        offset += size;
      }
      this._note(header);
    }

    _open(facts) {
      if (this.scene) return;
      this.scene = { fps: 10, times_s: [], half_height: [], people: [], point_bands: [], point_nodes: [], surface: [], shots_s: [0],
        point_size_m: 0.02, is_live: false, ...facts };
      const { views } = this.scene;
      if (!views) return;
      // Scenes of former versions have fewer views, and these no shape.
      this.scene.views = { tall: views.world, near: views.top, ...views };
      for (const view of Object.values(views)) view.aspect = view.aspect || this.scene.aspect;
    }

    _note(header) {
      const scene = this.scene;
      scene.times_s.push(...header.times_s);
      scene.half_height.push(...header.half_heights);
      scene.people = header.people;
      for (const name of header.points) {
        scene.point_bands.push(name);
        for (const part of ["few", "rest"]) scene.point_nodes.push({ name: `${name}/${part}`, scale: 1 });
      }
      for (const [name, replaced] of header.surface) {
        scene.surface = scene.surface.filter((other) => other !== replaced && other !== name).concat(name);
      }
      const last_s = scene.times_s[scene.times_s.length - 1];
      if (scene.is_live && last_s > 0) scene.fps = (scene.times_s.length - 1) / last_s;
    }
  };

  h3r.Tape.label = (row) => [...row.subarray(JOINTS)];
})(window.h3r = window.h3r || {});
