// Puts the player over viser's client: over a recording once its tape is whole, over a run at its first frame.
(function (h3r) {
  "use strict";
  h3r.setTheme = function (isDark) {
    document.documentElement.classList.toggle("h3p-dark", isDark);
    if (h3r.send) h3r.send({ type: "ThemeConfigurationMessage", titlebar_content: null, control_layout: "floating",
      control_width: "medium", show_logo: false, show_share_button: false, dark_mode: isDark, colors: null });
  };

  document.documentElement.classList.add("h3p-page");
  const tape = h3r.isRecording ? new h3r.Tape() : new h3r.LiveTape();
  h3r.hookViewer(tape, (viewer) => {
    h3r.setTheme(h3r.wantsDark());
    if (h3r.isRecording) {
      h3r.runToTheEnd(tape, () => { h3r.player = new h3r.Player(tape, viewer); });
      return;
    }
    tape.onFrame = () => {
      if (h3r.player) h3r.player.grow();
      else h3r.player = new h3r.Player(tape, viewer, true);
    };
    if (tape.frame >= 0) tape.onFrame();
  });
})(window.h3r = window.h3r || {});
