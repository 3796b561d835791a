// Takes the recording out of viser's playback: everything that moves goes onto a tape, the rest is viser's to show.
// viser hands all messages to one queue; marks in the recording (comments in scripts) say which frame they belong to.
(function (h3r) {
  "use strict";
  const MARK = /^\/\*h3r (.*?)\*\//;
  const AXES = { SetBonePositionMessage: "position", SetBoneOrientationMessage: "wxyz",
    SetPositionMessage: "position", SetOrientationMessage: "wxyz" };

  // One thing that changes: its values at some of the frames, in rising order.
  class Track {
    constructor() { this.frames = []; this.values = []; }

    set(frame, value) {
      const last = this.frames.length - 1;
      if (last >= 0 && this.frames[last] === frame) this.values[last] = value;
      else { this.frames.push(frame); this.values.push(value); }
    }

    // Index of the newest value at or before a frame, -1 before the first.
    at(frame) {
      let low = 0, high = this.frames.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.frames[middle] <= frame) low = middle + 1; else high = middle;
      }
      return low - 1;
    }
  }

  // What our own marks say, or null for viser's messages.
  h3r.markIn = function (message) {
    const mark = message.type === "RunJavascriptMessage" && MARK.exec(message.source);
    return mark ? JSON.parse(mark[1]) : null;
  };

  h3r.Track = Track;
  h3r.Tape = class Tape {
    constructor() {
      this.scene = null;      // facts from the recording: times_s, fps, people, views, ...
      this.frame = -1;           // newest frame on the tape
      this.bodies = new Map();   // skinned mesh -> Track of Float32Array, 7 numbers a bone: wxyz, position
      this.nodes = new Map();    // node -> Track of { position, wxyz }
      this.presence = new Map(); // node -> Track of boolean
      this.updates = new Map();  // node -> Track of changed properties
      this.owners = new Map();
      this.numReplays = 0;       // how often viser has started over, which hides and resets everything
      this._first = null;
      this._isPrelude = true;    // before the first frame: what does not move
      this._isNew = false;
    }

    get isComplete() { return this.scene !== null && this.frame === this.scene.times_s.length - 1; }

    // Returns true for a message that viser itself should handle.
    take(message) {
      if (this._first === null) this._first = message;
      // viser starts over when its own timeline goes back; what is on the tape already is not taken twice.
      else if (message === this._first) {
        this._isPrelude = true;
        this.numReplays++;
      }
      const content = h3r.markIn(message);
      if (content) {
        if (content.scene) this.scene = content.scene;
        else {
          this._isPrelude = false;
          this._isNew = content.frame > this.frame;
          this.frame = Math.max(this.frame, content.frame);
        }
        return false;
      }
      if (this._isPrelude) return true;
      if (message.type in AXES) { if (this._isNew) this._move(message); }
      else if (message.type === "SetSceneNodeVisibilityMessage") {
        if (this._isNew) this._track(this.presence, message).set(this.frame, message.visible);
      } else if (message.type === "SceneNodeUpdateMessage") {
        if (this._isNew) this._track(this.updates, message).set(this.frame, message.updates);
      } else return true;
      return false;
    }

    _track(tracks, message) {
      this.owners.set(message.name, message.owner);
      if (!tracks.has(message.name)) tracks.set(message.name, new Track());
      return tracks.get(message.name);
    }

    _move(message) {
      const axis = AXES[message.type];
      if (message.bone_index === undefined) {
        const track = this._track(this.nodes, message), last = track.at(this.frame);
        const before = last >= 0 ? track.values[last] : { position: [0, 0, 0], wxyz: [1, 0, 0, 0] };
        track.set(this.frame, { ...before, [axis]: message[axis] });
        return;
      }
      const track = this._track(this.bodies, message), last = track.at(this.frame);
      let bones = last >= 0 ? track.values[last] : new Float32Array(7 * 55);
      if (last < 0 || track.frames[last] !== this.frame) {
        bones = bones.slice();
        track.set(this.frame, bones);
      }
      bones.set(message[axis], 7 * message.bone_index + (axis === "position" ? 4 : 0));
    }
  };

  // Calls back once viser's client is there and its queue is ours.
  h3r.hookViewer = function (tape, onViewer) {
    let viewer;
    function hook(found) {
      viewer = found;
      const queue = viewer.messageQueue;
      const waiting = queue.splice(0).filter((message) => tape.take(message));
      queue.push = function (...messages) {
        for (const message of messages) if (tape.take(message)) Array.prototype.push.call(queue, message);
        return queue.length;
      };
      Array.prototype.push.apply(queue, waiting);
      h3r.send = (message) => { Array.prototype.push.call(queue, message); viewer.requestRender(); };
      onViewer(viewer);
    }
    Object.defineProperty(window, "__viserMutable", { configurable: true, get: () => viewer, set: hook });
  };

  // Runs viser's own playback to its end and leaves it paused there: its tape is then ours. A clip that is shorter than
  // viser needs to start has reached its end by itself, and would begin anew for ever: it is stopped all the same.
  h3r.runToTheEnd = function (tape, onEnd) {
    let isAsked = false, before = null;
    const timer = setInterval(function () {
      const slider = document.querySelector('[role="slider"][aria-valuemax]');
      const bar = slider && slider.closest(".mantine-Paper-root"), field = bar && bar.querySelector("input");
      if (!field || tape.scene === null) return;
      if (!isAsked || !tape.isComplete) {
        const last_s = parseFloat(slider.getAttribute("aria-valuemax")) - 1e-3;
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, last_s.toFixed(4));
        field.dispatchEvent(new Event("input", { bubbles: true }));
        isAsked = true;
        return;
      }
      const now = slider.getAttribute("aria-valuenow");
      if (now !== before) {
        isAsked = before === null;  // what moves after that still plays
        before = now;
        return;
      }
      clearInterval(timer);
      bar.style.display = "none";
      onEnd();
    }, 30);
  };
})(window.h3r = window.h3r || {});
