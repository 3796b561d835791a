// The names over the heads: text of the page over the canvas, sharp at any size.
(function (h3r) {
  "use strict";
  const { make } = h3r;

  h3r.Labels = class Labels {
    constructor(player) {
      this.player = player;
      this.root = make(player.root, "div", "h3p-labels", {});
      this.root.setAttribute("aria-hidden", "true");  // the list of people says the same
      this._labels = new Map();
    }

    tick() {
      const { stage, scene, people } = this.player;
      for (const person of scene.people) {
        if (!this._labels.has(person.id)) this._add(person);
        const label = this._labels.get(person.id);
        const isSeen = stage.labels && !people.hidden.has(person.id);
        const at = isSeen ? stage.label(person.id) : null, pixels = at && h3r.client.toPixels(at);
        label.hidden = !pixels;
        if (pixels) label.style.transform = `translate(${pixels[0].toFixed(1)}px, ${pixels[1].toFixed(1)}px) translate(-50%, -100%)`;
        label.classList.toggle("h3p-chosen", people.chosen === person.id || people.hovered === person.id);
      }
    }

    _add(person) {
      const label = make(this.root, "span", "", { textContent: h3r.Player.nameOf(person.id) });
      label.style.setProperty("--person", `rgb(${person.color})`);
      this._labels.set(person.id, label);
    }
  };
})(window.h3r = window.h3r || {});
