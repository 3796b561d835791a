// The tape of a run that still goes on: every frame comes as one mark with everything that moves in it.
(function (h3r) {
  "use strict";
  const CURRENT = "/camera/current";
  const BONES = 7 * 55;

  h3r.LiveTape = class LiveTape extends h3r.Tape {
    constructor() {
      super();
      this.onFrame = () => {};
      this._redrawn = [];
    }

    // Of a whole recording; a run that goes on has none.
    get isComplete() { return false; }

    // Nodes that viser has been told to make again since the last call.
    takeRedrawn() { return this._redrawn.splice(0); }

    take(message) {
      const content = h3r.markIn(message);
      if (content && content.scene) this._open(content.scene);
      else if (content) this._add(content);
      if (content || message.type === "ThemeConfigurationMessage") return false;
      // The picture in the camera belongs to its frame.
      if (message.type === "SceneNodeUpdateMessage" && message.name === CURRENT) {
        this._track(this.updates, message).set(this.frame, message.updates);
        return false;
      }
      if (message.type === "LineSegmentsMessage") this._redrawn.push(message.name);
      return true;
    }

    _open(facts) {
      if (this.scene) { this.numReplays++; return; }  // the socket broke and came back
      this.scene = { fps: 10, times_s: [], half_height: [], people: [], point_bands: [], point_nodes: [], point_size_m: 0.02, ...facts };
    }

    _add(moment) {
      if (moment.frame <= this.frame) return;
      const scene = this.scene;
      this.frame = moment.frame;
      scene.times_s.push(moment.time_s);
      scene.half_height.push(moment.half_height);
      scene.people = moment.people;
      if (moment.points) {
        scene.point_bands.push(moment.points);
        scene.point_nodes.push({ name: moment.points, scale: 1 });
      }
      if (scene.times_s.length > 1 && moment.time_s > 0) scene.fps = (scene.times_s.length - 1) / moment.time_s;
      for (const person of moment.people) {
        const name = "/people/person_" + person.id, body = moment.bodies[name];
        this._at(this.presence, name + "/body").set(moment.frame, Boolean(body));
        this._at(this.presence, name + "/label").set(moment.frame, Boolean(body));
        if (!body) continue;
        this._at(this.bodies, name + "/body").set(moment.frame, Float32Array.from(body.bones.slice(0, BONES)));
        this._at(this.nodes, name + "/label").set(moment.frame, { position: body.label, wxyz: [1, 0, 0, 0] });
      }
      this._at(this.nodes, CURRENT).set(moment.frame, moment.camera);
      this.onFrame();
    }

    _at(tracks, name) { return this._track(tracks, { name, owner: "" }); }
  };
})(window.h3r = window.h3r || {});
