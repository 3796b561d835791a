// Fits viser's client into the page around it: its theme, and how much it draws. Runs before the client.
(function (h3r) {
  "use strict";
  h3r.wantsDark = function () {
    try {
      if (window.parent !== window) return window.parent.document.body.classList.contains("dark");
    } catch (error) { /* embedded on another site: keep the system's choice */ }
    return matchMedia("(prefers-color-scheme: dark)").matches;
  };

  // Before the first paint; the veil over the scene goes when it is drawn.
  document.documentElement.classList.add("h3p-page");
  document.documentElement.classList.toggle("h3p-dark", h3r.wantsDark());

  h3r.NO_WEBGL = "This browser cannot draw in 3D: WebGL is off or missing. Turn on hardware acceleration, or use another "
    + "browser. The video and the files work without it.";

  function drawsInSoftware() {
    const canvas = document.createElement("canvas"), gl = canvas.getContext("webgl2") || canvas.getContext("webgl");
    if (!gl) {
      document.documentElement.classList.add("h3p-no-webgl");
      document.addEventListener("DOMContentLoaded", () => {
        Object.assign(document.body.appendChild(document.createElement("p")), { className: "h3p-sorry", textContent: h3r.NO_WEBGL }).setAttribute("role", "alert");
      });
    }
    const names = gl && gl.getExtension("WEBGL_debug_renderer_info");
    const found = names && /swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(names.UNMASKED_RENDERER_WEBGL));
    if (gl && gl.getExtension("WEBGL_lose_context")) gl.getExtension("WEBGL_lose_context").loseContext();
    return found;
  }

  // Without a graphics card every picture takes the processor tens of milliseconds, as does every picture of the page
  // around: fewer pixels, and no more pictures than are needed, keep both usable.
  const LIVE_MS = 200, LOADING_MS = 100, RECORDING_MS = 70, TOUCHED_MS = 40, TOUCH_LASTS_MS = 600;

  // The client asks for pictures for a quarter of a second after every change.
  function drawSeldom(isRecording) {
    const ask = window.requestAnimationFrame.bind(window), asked = new Map();
    let number = 0, isAsked = false, last_ms = 0, touched_ms = -Infinity;
    for (const name of ["pointerdown", "pointermove", "wheel", "keydown", "touchmove"]) {
      window.addEventListener(name, () => { touched_ms = performance.now(); }, { capture: true, passive: true });
    }
    const interval_ms = () => {
      if (performance.now() - touched_ms < TOUCH_LASTS_MS) return TOUCHED_MS;
      if (!h3r.player) return isRecording ? TOUCHED_MS : LOADING_MS;
      return isRecording ? RECORDING_MS : LIVE_MS;
    };
    const run = (now_ms) => {
      const due = [...asked.values()];
      asked.clear();
      isAsked = false;
      last_ms = now_ms;
      for (const callback of due) { try { callback(now_ms); } catch (error) { reportError(error); } }
    };
    window.requestAnimationFrame = (callback) => {
      asked.set(++number, callback);
      if (!isAsked) setTimeout(() => ask(run), Math.max(0, last_ms + interval_ms() - performance.now()));
      isAsked = true;
      return number;
    };
    window.cancelAnimationFrame = (id) => { asked.delete(id); };
  }

  // The page around it may be without focus, and its client would not take up a lost connection.
  document.hasFocus = () => !document.hidden;

  // A page that is loaded before its run has no address for the client's socket: the client waits for it.
  if (location.pathname.endsWith("/viewer/ahead/")) {
    const post = Worker.prototype.postMessage, held = [];
    let server = null;
    Worker.prototype.postMessage = function (message, ...others) {
      const send = () => post.call(this, message && message.type === "set_server" ? { ...message, server } : message, ...others);
      if (server === null && message && message.type === "set_server") held.push(send); else send();
    };
    // From now on this is the page at another address.
    h3r.become = (url) => {
      history.replaceState(null, "", url + location.search);
      server = url.replace("http", "ws").replace(/\/$/, "");
      for (const send of held.splice(0)) send();
    };
  }

  h3r.drawsInSoftware = drawsInSoftware();
  if (h3r.drawsInSoftware) {
    const isRecording = Boolean(window.__VISER_EMBED_DATA__) || /[?&]playbackPath=/.test(location.search);
    document.documentElement.classList.add("h3p-software");
    drawSeldom(isRecording);
    if (!/[?&]fixedDpr/.test(location.search)) {
      const parameter = "fixedDpr=" + (isRecording ? 0.75 : 0.5);
      try {
        // Built by hand: viser expects the path in the address unescaped.
        history.replaceState(null, "", location.pathname + (location.search ? location.search + "&" : "?") + parameter);
      } catch (error) { /* a file opened from disk may keep its address */ }
    }
  }
})(window.h3r = window.h3r || {});
