// The people of the scene: their cards, who is chosen or pointed at, and where they stand in the view and in the clip.
(function (h3r) {
  "use strict";
  const { make, icon } = h3r;
  const PELVIS = 0, NUM_JOINTS = 22, ROOM = 0.16;  // around the joints, as part of their box
  const DRAG_PX = 4;

  // The box around pixels that are there, with room for hands, feet and hair; null when fewer than two are.
  function boxAround(pixels) {
    const seen = pixels.filter(Boolean);
    if (seen.length < 2) return null;
    const [x0, x1] = [Math.min(...seen.map(([x]) => x)), Math.max(...seen.map(([x]) => x))];
    const [y0, y1] = [Math.min(...seen.map(([, y]) => y)), Math.max(...seen.map(([, y]) => y))];
    const room = ROOM * Math.max(x1 - x0, y1 - y0);
    return [x0 - room, y0 - room, x1 + room, y1 + room];
  }

  h3r.People = class People {
    constructor(player, parent) {
      Object.assign(this, { player, stage: player.stage, hidden: new Set(), chosen: null, hovered: null, cards: new Map() });
      make(parent, "h2", "", { textContent: "People" });
      this.nobody = make(parent, "p", "h3p-none", { textContent: player.isLive ? "Nobody so far." : "Nobody was found in this clip." });
      this.list = make(parent, "ul", "", {});
      this.frame = make(player.labels.root, "div", "h3p-frame", { hidden: true });
      this._listen(h3r.client.canvas);
    }

    grow() {
      this.nobody.hidden = this.player.scene.people.length > 0;
      for (const person of this.player.scene.people) if (!this.cards.has(person.id)) this._add(person);
    }

    choose(id) {
      this.chosen = this.chosen === id ? null : id;
      for (const [each, card] of this.cards) {
        card.pick.setAttribute("aria-expanded", String(each === this.chosen));
        card.facts.hidden = each !== this.chosen;
      }
      if (this.chosen !== null) this.cards.get(id).row.scrollIntoView({ block: "nearest" });
      this.player.show(this.player.time_s);
    }

    hover(id) {
      if (this.hovered === id) return;
      this.hovered = id;
      for (const [each, card] of this.cards) card.row.classList.toggle("h3p-pointed", each === id);
      this.tick();
      this.player.notify();
    }

    // After every moment that the stage has shown.
    tick() {
      for (const [id, card] of this.cards) {
        const isPresent = this.stage.isPresent(id);
        card.away.hidden = isPresent;
        if (isPresent && !card.hasPicture) card.hasPicture = this._picture(id, card.picture);
      }
      if (this.chosen !== null) this.cards.get(this.chosen).facts.replaceChildren(...this._facts(this.chosen));
      const id = this.hovered ?? this.chosen, box = id === null || this.hidden.has(id) ? null : this.onScreen(id);
      this.frame.hidden = box === null;
      if (box === null) return;
      const [x0, y0, x1, y1] = box;
      Object.assign(this.frame.style, { left: x0 + "px", top: y0 + "px", width: x1 - x0 + "px", height: y1 - y0 + "px",
        borderColor: `rgb(${this.player.scene.people.find((person) => person.id === id).color})` });
    }

    onScreen(id) {
      const joints = this.stage.joints(id);
      return joints && boxAround(joints.map((joint) => h3r.client.toPixels(joint)));
    }

    // In the clip's picture: parts of its width and height, at a frame of the tape (now, unless one is given).
    inPicture(id, frame = this.stage.frame) {
      const track = this.stage.tape.bodies.get(id), row = track ? track.at(frame) : -1;
      if (row < 0 || track.frames[row] !== frame) return null;
      const camera = this.stage.tape.cameras[frame], { aspect, half_height } = this.player.scene;
      const [w, x, y, z] = camera;
      const pixels = Array.from({ length: NUM_JOINTS }, (_, joint) => {
        const v = [0, 1, 2].map((axis) => track.values[row][7 * joint + 4 + axis] - camera[4 + axis]);
        const t = [2 * (-y * v[2] + z * v[1]), 2 * (-z * v[0] + x * v[2]), 2 * (-x * v[1] + y * v[0])];
        const [right, down, ahead] = [v[0] + w * t[0] - y * t[2] + z * t[1], v[1] + w * t[1] - z * t[0] + x * t[2], v[2] + w * t[2] - x * t[1] + y * t[0]];
        if (ahead < 0.1) return null;
        const scale = 0.5 / ahead / half_height[frame];
        return [0.5 + right * scale / aspect, 0.5 + down * scale];
      });
      return boxAround(pixels);
    }

    // Who is at a point of boxes; of several, whoever's box is smallest.
    at(boxOf, x, y) {
      const hits = this.player.scene.people.map(({ id }) => [id, this.hidden.has(id) ? null : boxOf(id)])
        .filter(([, box]) => box && x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]);
      const area = ([, box]) => (box[2] - box[0]) * (box[3] - box[1]);
      return hits.length ? hits.sort((a, b) => area(a) - area(b))[0][0] : null;
    }

    // What the page around needs to draw frames over the clip.
    get message() {
      const people = this.player.scene.people.filter(({ id }) => id === this.hovered || id === this.chosen);
      return people.map(({ id, color }) => ({ id, color, box: this.inPicture(id) })).filter(({ box }) => box);
    }

    _add(person) {
      const name = h3r.Player.nameOf(person.id), row = make(this.list, "li", "", {});
      const pick = make(row, "button", "h3p-pick", { type: "button", expanded: "false", label: name, title: "Show more about this person" });
      const picture = make(pick, "canvas", "", { width: 64, height: 64 });
      picture.style.borderColor = `rgb(${person.color})`;
      const text = make(pick, "span", "", {}, `<b>${name}</b>`);
      const away = make(text, "small", "", { textContent: "not in view now", hidden: true });
      pick.onclick = () => this.choose(person.id);
      row.onpointerenter = () => this.hover(person.id);
      row.onpointerleave = () => this.hover(null);
      const eye = make(row, "button", "h3p-eye", { type: "button", pressed: "true", label: `Show ${name}`, title: "Show or hide" }, icon("eye"));
      eye.onclick = () => {
        const isOn = eye.getAttribute("aria-pressed") !== "true";
        eye.setAttribute("aria-pressed", String(isOn));
        if (isOn) this.hidden.delete(person.id); else this.hidden.add(person.id);
        this.stage.setVisible(`/people/person_${person.id}`, isOn);
        this.tick();
      };
      const follow = make(row, "button", "h3p-follow", { type: "button", textContent: "Follow", pressed: "false", label: `Follow ${name}` });
      follow.dataset.id = person.id;
      follow.onclick = () => this.player.follow(person.id);
      const facts = make(row, "dl", "h3p-facts", { hidden: true });
      this.cards.set(person.id, { row, pick, picture, away, facts, hasPicture: false });
    }

    // Cut a person out of the newest small picture of the clip; false while there is none.
    _picture(id, canvas) {
      const { tape, frame } = this.stage, index = tape.pictures.at(frame), box = this.inPicture(id);
      if (index < 0 || !box) return false;
      createImageBitmap(new Blob([tape.pictures.values[index]], { type: "image/jpeg" })).then((image) => {
        const width = (box[2] - box[0]) * image.width, height = (box[3] - box[1]) * image.height;
        const side = Math.max(8, Math.min(width, height)), left = (box[0] + box[2]) / 2 * image.width - side / 2;
        canvas.getContext("2d").drawImage(image, left, box[1] * image.height, side, side, 0, 0, 64, 64);
      }).catch(() => { /* a damaged picture is no reason to stop */ });
      return true;
    }

    _facts(id) {
      const { scene, stage } = this.player, { unit } = this.player.measure;
      const track = stage.tape.bodies.get(id), rows = [];
      const spread = (value_m) => (scene.scale_sd ? ` ± ${unit(value_m * scene.scale_sd)}` : "");
      const say = (name, value) => {
        for (const [tag, textContent] of [["dt", name], ["dd", value]]) rows.push(Object.assign(document.createElement(tag), { textContent }));
      };
      const height_m = scene.heights_m && scene.heights_m[id];
      if (height_m) say("Height", unit(height_m) + spread(height_m));
      const path_m = pathOf(track), seen_s = track.frames.length / scene.fps;
      say("Path", unit(path_m) + spread(path_m));
      if (seen_s > 0) say("Mean speed", unit(path_m / seen_s) + "/s");
      const pelvis = stage.pelvis(id), camera = stage.camera().position;
      if (pelvis && stage.isPresent(id)) {
        const away_m = Math.hypot(...pelvis.map((value, axis) => value - camera[axis]));
        say("To the camera", unit(away_m) + spread(away_m));
      }
      return rows;
    }

    _listen(canvas) {
      const under = (event) => {
        const { left, top } = canvas.getBoundingClientRect();
        return this.at((id) => this.onScreen(id), event.clientX - left, event.clientY - top);
      };
      let down = null;
      canvas.addEventListener("pointermove", (event) => { if (event.buttons === 0 && !this.player.measure.isOn) this.hover(under(event)); });
      canvas.addEventListener("pointerleave", () => this.hover(null));
      canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
      canvas.addEventListener("pointerup", (event) => {
        const isClick = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < DRAG_PX;
        if (!isClick || this.player.measure.isOn) return;
        const id = under(event);
        if (id !== null) this.choose(id);
      });
    }
  };

  // Length of the pelvis's path over the floor; steps below a centimeter are noise. Gaps count as nothing.
  function pathOf(track) {
    let sum_m = 0, last = null;
    for (let row = 0; row < track.frames.length; row++) {
      const at = [track.values[row][7 * PELVIS + 4], track.values[row][7 * PELVIS + 6]];
      if (last && track.frames[row] - last.frame > 1) last = null;
      const step_m = last ? Math.hypot(at[0] - last.at[0], at[1] - last.at[1]) : 0;
      if (last === null || step_m > 0.05) { sum_m += step_m; last = { at, frame: track.frames[row] }; }
      else last.frame = track.frames[row];
    }
    return sum_m;
  }
})(window.h3r = window.h3r || {});
