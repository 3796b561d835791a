// Fits viser's client into the page around it: its theme, and how much it may draw. Runs before the client.
(function (h3r) {
  "use strict";
  h3r.isRecording = Boolean(window.__VISER_EMBED_DATA__) || /[?&]playbackPath=/.test(location.search);

  h3r.wantsDark = function () {
    try {
      if (window.parent !== window) return window.parent.document.body.classList.contains("dark");
    } catch (error) { /* embedded on another site: keep the system's choice */ }
    return matchMedia("(prefers-color-scheme: dark)").matches;
  };

  function drawsInSoftware() {
    const gl = document.createElement("canvas").getContext("webgl");
    const names = gl && gl.getExtension("WEBGL_debug_renderer_info");
    const found = names && /swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(names.UNMASKED_RENDERER_WEBGL));
    if (gl && gl.getExtension("WEBGL_lose_context")) gl.getExtension("WEBGL_lose_context").loseContext();
    return found;
  }

  const wishes = [];
  if (h3r.wantsDark() && !h3r.isRecording && !/[?&]darkMode/.test(location.search)) wishes.push("darkMode=1");
  // Without a graphics card, fewer pixels keep the page around the viewer usable, most of all while a run works.
  if (!/[?&]fixedDpr/.test(location.search) && drawsInSoftware()) {
    wishes.push("fixedDpr=" + (h3r.isRecording ? 0.75 : 0.5));
    // And fewer pictures per second: drawing shares one thread with the buttons of the page.
    const draw = window.requestAnimationFrame.bind(window);
    const pause_ms = h3r.isRecording ? 60 : 300;
    window.requestAnimationFrame = (callback) => setTimeout(() => draw(callback), pause_ms);
    window.cancelAnimationFrame = (timer) => clearTimeout(timer);
  }
  if (wishes.length) {
    try {
      // Built by hand: viser expects the path in the address unescaped.
      history.replaceState(null, "", location.pathname + (location.search ? location.search + "&" : "?") + wishes.join("&"));
    } catch (error) { /* a file opened from disk may keep its address */ }
  }

  // viser warns about software rendering on top of the picture; it still works, and the notice hides the people.
  new MutationObserver(function () {
    document.querySelectorAll(".mantine-Notification-root").forEach(function (notice) {
      if (/software/i.test(notice.textContent)) notice.style.display = "none";
    });
  }).observe(document, { childList: true, subtree: true });
})(window.h3r = window.h3r || {});
