// Keeps the visitor's view: from the run that goes on to its result, and in a link.
(function (h3r) {
  "use strict";
  const INTERVAL_MS = 500;
  const key = () => "h3r_view_" + location.pathname.split("/").slice(-3, -2)[0];
  let saved_ms = 0;

  // The worlds of a run and of its result differ; both are seen from the first picture's camera.
  const turn = ([w, x, y, z], v) => {
    const t = [2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])];
    return [v[0] + w * t[0] + y * t[2] - z * t[1], v[1] + w * t[1] + z * t[0] - x * t[2], v[2] + w * t[2] + x * t[1] - y * t[0]];
  };
  const first = (tape) => ({ wxyz: tape.cameras[0].slice(0, 4), position: tape.cameras[0].slice(4, 7) });
  function toCamera(tape, point) {
    const { wxyz: [w, x, y, z], position } = first(tape);
    return turn([w, -x, -y, -z], point.map((value, axis) => value - position[axis]));
  }
  function toWorld(tape, point) {
    const { wxyz, position } = first(tape);
    return turn([...wxyz], point).map((value, axis) => value + position[axis]);
  }

  h3r.Keep = {
    // What is seen now, as plain values.
    read(player) {
      const { position, look_at } = h3r.client.view, { tape } = player.stage;
      return { mode: player.views.mode, subject: player.views.subject, time_s: player.time_s,
        position: toCamera(tape, position), look_at: toCamera(tape, look_at) };
    },

    // The same as the end of an address.
    link(player) { return "#view=" + encodeURIComponent(btoa(JSON.stringify(this.read(player), (_, value) => (
      typeof value === "number" ? Number(value.toFixed(4)) : value)))); },

    show(player, view) {
      player.views._opens = false;
      const { tape } = player.stage;
      if (view.mode === "camera") player.viewButtons.camera.click();
      else {
        if (view.mode === "follow" && player.scene.people.some(({ id }) => id === view.subject)) player.follow(view.subject);
        h3r.client.stand(toWorld(tape, view.position), toWorld(tape, view.look_at), [0, 1, 0], false);
      }
    },

    tick(player, now_ms) {
      if (!player.isLive || now_ms - saved_ms < INTERVAL_MS) return;
      saved_ms = now_ms;
      try { sessionStorage.setItem(key(), JSON.stringify(this.read(player))); } catch (error) { /* storage is off */ }
    },

    restore(player) {
      if (player.isLive) return;
      try {
        const named = /^#view=(.+)$/.exec((window.parent === window ? window : window.parent).location.hash);
        const text = named ? atob(decodeURIComponent(named[1])) : sessionStorage.getItem(key());
        if (!text) return;
        const view = JSON.parse(text);
        if (named) player.seek(view.time_s);
        this.show(player, view);
      } catch (error) { /* storage is off, or a view from another version */ }
    },
  };
})(window.h3r = window.h3r || {});
