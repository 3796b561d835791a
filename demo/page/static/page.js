// The page's own behavior: theme, synchronization of overlay video and viewer, keys, and the link to a result.
(function () {
  "use strict";
  const find = (name) => document.querySelector('[data-h3="' + name + '"]');
  const recording = () => document.querySelector("[data-h3=recording] iframe");
  const viewer = () => document.querySelector(".h3-viewer iframe");  // of a recording or of an active run
  const send = (message) => {
    const frame = viewer();
    if (frame) frame.contentWindow.postMessage(message, location.origin);
  };

  // The overlay shows the frame that the viewer reports. While the video seeks, the latest frame is kept.
  let viewerFrame = null;
  let ownSeek_s = null;  // the last seek of this script
  const fpsOf = (video) => parseFloat(video.dataset.fps);
  function followViewer() {
    const video = find("overlay");
    if (!video || video.readyState < 1 || video.seeking || viewerFrame === null) return;
    // The middle of a frame: its edges round to either side.
    const seek = Math.min((viewerFrame + 0.5) / fpsOf(video), Math.max(0, video.duration - 0.25 / fpsOf(video)));
    if (Math.abs(video.currentTime - seek) > 0.1 / fpsOf(video)) {
      ownSeek_s = seek;
      video.currentTime = seek;
    }
  }
  document.addEventListener("seeked", followViewer, true);
  document.addEventListener("loadeddata", followViewer, true);
  window.addEventListener("message", (event) => {
    const frame = recording();
    if (!frame || event.source !== frame.contentWindow || !event.data || event.data.h3r !== "frame") return;
    viewerFrame = event.data.i;
    followViewer();
  });

  // Seeks of the video by the visitor move the viewer.
  const seekViewer = (video, time_s) => send({ h3r: "seek", frame: Math.floor(time_s * fpsOf(video) + 1e-3) });
  document.addEventListener("seeking", (event) => {
    const video = event.target;
    if (!video.dataset || video.dataset.h3 !== "overlay") return;
    if (ownSeek_s === null || Math.abs(video.currentTime - ownSeek_s) > 0.5 / fpsOf(video)) seekViewer(video, video.currentTime);
  }, true);
  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const video = event.target.closest && event.target.closest("[data-h3=overlay]");
    if (!video || event.button > 0) return;
    drag = { video, x: event.clientX, from_s: video.currentTime, hasMoved: false };
    video.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const part = (event.clientX - drag.x) / drag.video.clientWidth;
    if (Math.abs(event.clientX - drag.x) > 4) drag.hasMoved = true;
    const time_s = drag.from_s + part * drag.video.duration;
    if (drag.hasMoved) seekViewer(drag.video, Math.min(Math.max(0, time_s), drag.video.duration - 1e-3));
  });
  document.addEventListener("pointerup", () => {
    if (drag && !drag.hasMoved) send({ h3r: "toggle" });
    drag = null;
  });
  document.addEventListener("pointercancel", () => { drag = null; });

  // The file dialog offers the supported kinds. Other files, dropped for example, are reported after the upload.
  document.addEventListener("click", (event) => {
    if (event.target.matches && event.target.matches("#h3-clip input[type=file]")) {
      event.target.accept = "video/*,image/*,.gif,.zip,.mkv";
    }
  }, true);

  // The address names what is shown, so that a reload shows it again; the cookie says that it is the same visitor.
  function remember(viewer) {
    if (!viewer || viewer.dataset.address === undefined) return;
    const address = new URL(location.href), named = new URLSearchParams(viewer.dataset.address);
    for (const name of ["result", "example"]) {
      if (named.has(name)) address.searchParams.set(name, named.get(name)); else address.searchParams.delete(name);
    }
    if (address.href !== location.href) history.replaceState(null, "", address);
  }
  if (!/(^|; )h3r_visitor=/.test(document.cookie)) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const name = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    document.cookie = "h3r_visitor=" + name + "; SameSite=Lax; path=" + location.pathname;
  }

  // On a phone the viewer is below the controls, and errors are above: scroll to them.
  const show = (element, block) => {
    if (element && window.innerWidth <= 820) element.scrollIntoView({ block, behavior: "smooth" });
  };
  new MutationObserver((changes) => {
    const isNew = (selector) => changes.some((change) => [...change.addedNodes].some((node) =>
      node.querySelector && (node.matches(selector) || node.querySelector(selector))));
    remember(document.querySelector(".h3-viewer"));
    if (isNew(".h3-problem")) show(document.querySelector(".h3-problem"), "center");
    if (!isNew("iframe")) return;
    viewerFrame = ownSeek_s = null;
    // A focused tile would receive the keys meant for the viewer.
    if (document.activeElement.matches(".h3-tile")) document.activeElement.blur();
    show(document.getElementById("h3-status"), "start");
  }).observe(document, { childList: true, subtree: true });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-h3]");
    if (!button) return;
    if (button.dataset.h3 === "theme") {
      const isDark = document.body.classList.toggle("dark");
      send({ h3r: "theme", dark: isDark });
    }
    if (button.dataset.h3 === "delete" && window.confirm("Delete this result and its files now?")) {
      document.getElementById("h3-delete").click();
    }
    if (button.dataset.h3 === "copy") {
      const address = new URL(button.dataset.path, document.baseURI).href;
      const before = button.textContent;
      const done = () => {
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = before; }, 1600);
      };
      if (navigator.clipboard) navigator.clipboard.writeText(address).then(done, () => window.prompt("Link", address));
      else window.prompt("Link", address);
    }
    if (button.dataset.h3 === "download") {
      // Files are written on request; the browser shows no progress until then.
      button.setAttribute("aria-busy", "true");
      fetch(button.href, { method: "HEAD" }).catch(() => null).finally(() => button.removeAttribute("aria-busy"));
    }
  });

  // Space plays and pauses, the arrows step one frame, unless the focused element uses these keys.
  document.addEventListener("keydown", (event) => {
    if (!viewer() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [role=listbox], [contenteditable]")) return;
    if (event.code === "Space" && event.target.closest("button, a, summary")) return;
    if (event.code === "Space") send({ h3r: "toggle" });
    else if (event.code === "ArrowRight") send({ h3r: "step", frames: 1 });
    else if (event.code === "ArrowLeft") send({ h3r: "step", frames: -1 });
    else return;
    event.preventDefault();
  });
})();
