// Begins: viser's client hands over the chunks of the tape when it has taken in the scene; the first one opens the player.
(function (h3r) {
  "use strict";
  const tape = new h3r.Tape();

  // Before the first node comes: materials are made for the lights that are there.
  function light() {
    if (h3r.client.isReady) h3r.client.lightPlainly(); else setTimeout(light, 20);
  }
  if (h3r.drawsInSoftware) light();

  // A run's scene says when it begins: what was sent before the connection is forgotten by then.
  h3r.begin = function () {
    if (h3r.drawsInSoftware) h3r.client.lightPlainly();
    h3r.client.send({ type: "SetSceneNodeVisibilityMessage", name: "/materials", visible: true });
  };

  h3r.setTheme = function (isDark) {
    h3r.isDark = isDark;
    document.documentElement.classList.toggle("h3p-dark", isDark);
    h3r.client.send({ type: "ThemeConfigurationMessage", titlebar_content: null, control_layout: "floating",
      control_width: "medium", show_logo: false, show_share_button: false, dark_mode: isDark, colors: null });
  };

  function open() {
    if (!h3r.client.isReady) { setTimeout(open, 20); return; }
    h3r.setTheme(h3r.wantsDark());
    h3r.player = new h3r.Player(tape);
  }

  h3r.bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

  // viser runs this call as a message of the scene, in order with the others.
  h3r.take = function (base64) {
    const isFirst = tape.scene === null;
    tape.append(h3r.bytes(base64));
    if (isFirst) setTimeout(open, 0);
    else if (h3r.player) h3r.player.grow();
  };
})(window.h3r = window.h3r || {});
