// Shows one moment of a tape: sends viser's client what has changed.
(function (h3r) {
  "use strict";
  const CURRENT = "/camera/current";
  const person = (id) => `/people/person_${id}`;
  // Without a graphics card a body takes the processor a tenth of a second in every picture, one of few triangles does not.
  const body = (id, scene) => person(id) + (scene.is_live && h3r.drawsInSoftware ? "/few" : "/body");

  // Blend of two quaternions (w first) at an offset of two arrays.
  function blendRotation(a, b, offset, part) {
    let dot = 0, square = 0;
    for (let k = 0; k < 4; k++) dot += a[offset + k] * b[offset + k];
    const out = [0, 0, 0, 0];
    for (let k = 0; k < 4; k++) {
      out[k] = a[offset + k] * (1 - part) + (dot < 0 ? -1 : 1) * b[offset + k] * part;
      square += out[k] * out[k];
    }
    return out.map((value) => value / Math.sqrt(square));
  }
  const blendPosition = (a, b, offset, part) =>
    [0, 1, 2].map((axis) => a[offset + axis] * (1 - part) + b[offset + axis] * part);

  h3r.Stage = class Stage {
    constructor(tape) {
      this.tape = tape;
      this.times_s = tape.scene.times_s;
      this.labels = true;
      this.showsBodies = true;     // false where the real people are shown in their place
      this.frame = 0;
      this.part = 0;
      this._sent = new Map();      // what the client has got
      this._visible = new Map();   // node -> whether it is visible
      this._messages = [];
      this._numRepeats = tape.numRepeats;
    }

    get last_s() { return this.times_s[this.times_s.length - 1]; }

    frameAt(time_s) {
      let low = 0, high = this.times_s.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.times_s[middle] <= time_s + 1e-6) low = middle + 1; else high = middle;
      }
      return Math.max(0, low - 1);
    }

    // Show a time; between two frames bodies and camera are blended.
    show(time_s) {
      const frame = this.frameAt(time_s), next_s = this.times_s[frame + 1];
      const part = next_s === undefined ? 0 : (time_s - this.times_s[frame]) / (next_s - this.times_s[frame]);
      this.frame = frame;
      this.part = part < 0.02 ? 0 : Math.min(part, 1);
      this._recover();
      for (const [id, track] of this.tape.bodies) this._showBody(id, track);
      this._once("camera", frame + this.part, () => this._move(CURRENT, this.camera()));
      const picture = this.tape.pictures.at(frame);
      if (picture >= 0) {
        const image = this.tape.pictures.values[picture];
        this._once("picture", picture, () => this._queue("SceneNodeUpdateMessage", CURRENT, { updates: { _image_data: image } }));
      }
      this._flush();
    }

    get isStale() { return this._numRepeats !== this.tape.numRepeats; }

    // Where the filming camera is now, blended.
    camera() {
      const now = this.tape.cameras[this.frame], next = this.tape.cameras[this.frame + 1] || now;
      return { wxyz: blendRotation(now, next, 0, this.part), position: blendPosition(now, next, 4, this.part) };
    }

    // Position of a person's pelvis, or null before the person was first seen.
    pelvis(id) {
      const rows = this._rows(this.tape.bodies.get(id));
      return rows && blendPosition(rows.now, rows.next, 4, rows.part);
    }

    isPresent(id) {
      const rows = this._rows(this.tape.bodies.get(id));
      return rows !== null && rows.isPresent;
    }

    // Where a person's label stands and the joints are: positions of 55 joints, or null while the person is away.
    label(id) {
      const rows = this._rows(this.tape.bodies.get(id));
      return rows && rows.isPresent ? blendPosition(h3r.Tape.label(rows.now), h3r.Tape.label(rows.next), 0, rows.part) : null;
    }

    joints(id) {
      const rows = this._rows(this.tape.bodies.get(id));
      if (!rows || !rows.isPresent) return null;
      return Array.from({ length: 22 }, (_, joint) => blendPosition(rows.now, rows.next, 7 * joint + 4, rows.part));
    }

    setVisible(name, visible) {
      this._setVisible(name, visible);
      this._flush();
    }

    update(name, updates) {
      this._queue("SceneNodeUpdateMessage", name, { updates });
      this._flush();
    }

    // After a lost connection the client builds the scene anew: everything is sent again.
    _recover() {
      if (!this.isStale) return;
      this._numRepeats = this.tape.numRepeats;
      this._sent.clear();
      for (const [name, visible] of this._visible) this._setVisible(name, visible);
    }

    // The newest row of a body, and the one it is blended with: none across a gap.
    _rows(track) {
      const index = track === undefined ? -1 : track.at(this.frame);
      if (index < 0) return null;
      const blends = this.part > 0 && track.frames[index] === this.frame && track.frames[index + 1] === this.frame + 1;
      const now = track.values[index];
      return { now, next: blends ? track.values[index + 1] : now, part: blends ? this.part : 0,
        at: track.frames[index] + (blends ? this.part : 0), isPresent: track.frames[index] === this.frame };
    }

    _showBody(id, track) {
      const rows = this._rows(track), isPresent = rows !== null && rows.isPresent;
      this._setVisible(body(id, this.tape.scene), isPresent && this.showsBodies);
      this._setVisible(person(id) + "/label", false);  // ours are in labels.js: viser's are blurred pictures
      if (rows) this._once(person(id), rows.at, () => this._pose(id, rows));
    }

    _pose(id, { now, next, part }) {
      const name = body(id, this.tape.scene), label = h3r.Tape.label(now), last = h3r.Tape.label(next);
      for (let bone_index = 0; bone_index < 55; bone_index++) {
        const wxyz = blendRotation(now, next, 7 * bone_index, part);
        const position = blendPosition(now, next, 7 * bone_index + 4, part);
        this._queue("SetBoneOrientationMessage", name, { bone_index, wxyz });
        this._queue("SetBonePositionMessage", name, { bone_index, position });
      }
      this._queue("SetPositionMessage", person(id) + "/label", { position: blendPosition(label, last, 0, part) });
    }

    _move(name, { wxyz, position }) {
      this._queue("SetOrientationMessage", name, { wxyz });
      this._queue("SetPositionMessage", name, { position });
    }

    _setVisible(name, visible) {
      this._visible.set(name, visible);
      this._once("visible " + name, visible, () => this._queue("SetSceneNodeVisibilityMessage", name, { visible }));
    }

    _once(what, value, act) {
      if (this._sent.get(what) === value) return;
      this._sent.set(what, value);
      act();
    }

    _queue(type, name, content) { this._messages.push({ type, name, ...content }); }

    _flush() {
      if (this._messages.length) h3r.client.send(...this._messages.splice(0));
    }
  };
})(window.h3r = window.h3r || {});
