// Shows one moment of a tape: poses go straight to viser's figures, so that any jump costs one frame.
(function (h3r) {
  "use strict";
  const REPEATS = 2;
  const key = (owner, name) => (owner || "") + "\u0000" + name;

  // Blend of two quaternions (w first) at offset i of two arrays, written to out.
  function blendRotation(a, b, i, part, out) {
    let dot = 0;
    for (let k = 0; k < 4; k++) dot += a[i + k] * b[i + k];
    let square = 0;
    for (let k = 0; k < 4; k++) {
      out[k] = a[i + k] * (1 - part) + (dot < 0 ? -1 : 1) * b[i + k] * part;
      square += out[k] * out[k];
    }
    for (let k = 0; k < 4; k++) out[k] /= Math.sqrt(square);
    return out;
  }

  h3r.Stage = class Stage {
    constructor(tape, viewer) {
      this.tape = tape;
      this.viewer = viewer;
      this.times_s = tape.scene.times_s;
      this.labels = true;
      this.frame = 0;
      this.part = 0;
      this._sent = new Map();   // what viser knows
      this._eyes = new Map();   // node -> whether it shall be seen
      this._isPosed = true;
      this._numReplays = tape.numReplays;
      this._repeats = REPEATS;
    }

    get last_s() { return this.times_s[this.times_s.length - 1]; }

    // viser has started over: tell it everything again until it has digested its own messages, which reset poses.
    _recover() {
      if (this._numReplays !== this.tape.numReplays) this._repeats = REPEATS;
      this._numReplays = this.tape.numReplays;
      if (this._repeats === 0) return;
      if (this.viewer.messageQueue.length === 0) this._repeats--;
      this._sent.clear();
      for (const [name, isVisible] of this._eyes) this.setVisible(name, isVisible);
    }

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
      this._isPosed = this._repeats === 0;
      for (const [name, track] of this.tape.bodies) this._pose(name, track);
      for (const [name, track] of this.tape.nodes) this._place(name, this.nodeAt(name, track));
      for (const [name, track] of this.tape.presence) {
        const index = track.at(frame);
        this.setVisible(name, index >= 0 && track.values[index] && (this.labels || !name.endsWith("/label")));
      }
      for (const [name, track] of this.tape.updates) {
        const index = track.at(frame);
        if (index >= 0) this._once("props " + name, index, () => this.update(name, track.values[index]));
      }
      this.viewer.requestRender();
      return this._isPosed;
    }

    // Where a node is now, blended.
    nodeAt(name, track = this.tape.nodes.get(name)) {
      const index = track === undefined ? -1 : track.at(this.frame);
      if (index < 0) return null;
      const now = track.values[index];
      if (this.part === 0 || track.frames[index + 1] !== this.frame + 1 || track.frames[index] !== this.frame) return now;
      const next = track.values[index + 1];
      return {
        position: now.position.map((value, axis) => value + this.part * (next.position[axis] - value)),
        wxyz: blendRotation(now.wxyz, next.wxyz, 0, this.part, [0, 0, 0, 0]),
      };
    }

    // Position of a person's pelvis, or null before the person was first seen.
    pelvis(track_id) {
      const bones = this._bones(this.tape.bodies.get("/people/person_" + track_id + "/body"));
      return bones && bones(0).position;
    }

    // Nodes that are made anew come up visible: tell viser again what shall not be seen.
    hideAgain(names) {
      for (const name of names) {
        if (this._eyes.get(name) === false) {
          this._sent.delete("eye " + name);
          this.setVisible(name, false);
        }
      }
    }

    get isStale() { return this._numReplays !== this.tape.numReplays; }

    setVisible(name, isVisible) {
      this._eyes.set(name, isVisible);
      this._once("eye " + name, isVisible, () => h3r.send({
        type: "SetSceneNodeVisibilityMessage", name, owner: this.tape.owners.get(name) || "", visible: isVisible }));
    }

    update(name, updates) {
      h3r.send({ type: "SceneNodeUpdateMessage", name, owner: this.tape.owners.get(name) || "", updates });
    }

    _once(what, value, act) {
      if (this._sent.get(what) === value) return;
      this._sent.set(what, value);
      act();
    }

    _bones(track) {
      const index = track === undefined ? -1 : track.at(this.frame);
      if (index < 0) return null;
      const now = track.values[index];
      const blends = this.part > 0 && track.frames[index] === this.frame && track.frames[index + 1] === this.frame + 1;
      const next = blends ? track.values[index + 1] : now, part = blends ? this.part : 0;
      return (bone) => ({
        wxyz: blendRotation(now, next, 7 * bone, part, [0, 0, 0, 0]),
        position: [4, 5, 6].map((axis) => now[7 * bone + axis] * (1 - part) + next[7 * bone + axis] * part),
      });
    }

    _pose(name, track) {
      const state = this.viewer.skinnedMeshState[key(this.tape.owners.get(name), name)];
      const bones = this._bones(track);
      if (state === undefined || state.poses.length === 0) this._isPosed = false;
      if (!state || !bones) return;
      state.poses.forEach((pose, bone) => Object.assign(pose, bones(bone)));
      state.dirty = true;
    }

    _place(name, place) {
      const pose = this.viewer.nodePoseData[name];
      if (pose === undefined) this._isPosed = false;
      if (!pose || !place) return;
      pose.position = place.position;
      pose.wxyz = place.wxyz;
      if (pose.poseUpdateState === "updated") pose.poseUpdateState = "needsUpdate";
    }
  };
})(window.h3r = window.h3r || {});
