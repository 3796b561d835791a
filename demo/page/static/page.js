// The page's own behavior: theme, synchronization of overlay video and viewer, keys, and the link to a result.
(function () {
  "use strict";
  const find = (name) => document.querySelector('[data-h3="' + name + '"]');
  const recording = () => document.querySelector("[data-h3=recording] iframe");
  const stage = () => document.getElementById("h3-stage");
  const viewer = () => document.querySelector(".h3-viewer iframe");  // of a recording or of an active run
  const send = (message) => {
    const frame = viewer();
    if (frame) frame.contentWindow.postMessage(message, location.origin);
  };

  // The choice of light or dark outlives a reload; without one, Gradio follows the system.
  const THEME = "h3r_theme";
  function chosenTheme() {
    try { return localStorage.getItem(THEME); } catch (error) { return null; /* storage is off */ }
  }
  function applyTheme() {
    const chosen = chosenTheme();
    if (!chosen) return;
    document.documentElement.dataset.h3Theme = chosen;  // of the first paint, before Gradio's style comes
    if (document.body) document.body.classList.toggle("dark", chosen === "dark");
  }
  applyTheme();
  document.addEventListener("DOMContentLoaded", () => {
    applyTheme();
    new MutationObserver(applyTheme).observe(document.body, { attributeFilter: ["class"] });
  });

  // The overlay shows the frame that the viewer reports. While the video seeks, the latest frame is kept. Frames are
  // told by their times: those of a clip of variable rate are not evenly spaced.
  const EDGE_S = 1e-3;
  let shown = null;  // from when until when the viewer's frame lasts
  let ownSeek_s = null;  // the last seek of this script
  function followViewer() {
    const video = find("overlay");
    if (!video || video.readyState < 1 || video.seeking || shown === null) return;
    // The middle of a frame: its edges round to either side.
    const { from_s, to_s } = shown, seek = Math.min((from_s + to_s) / 2, Math.max(0, video.duration - (to_s - from_s) / 4));
    if (Math.abs(video.currentTime - seek) > 0.1 * (to_s - from_s)) {
      ownSeek_s = seek;
      video.currentTime = seek;
    }
  }
  document.addEventListener("seeked", followViewer, true);
  document.addEventListener("loadeddata", followViewer, true);
  // Without WebGL there is no player to lead the video: it gets controls of its own.
  const offerControls = () => {
    const video = find("overlay"), frame = viewer();
    if (video && frame && frame.contentDocument && frame.contentDocument.querySelector(".h3p-no-webgl")) video.controls = true;
  };
  for (const name of ["load", "loadeddata"]) document.addEventListener(name, offerControls, true);
  window.addEventListener("message", (event) => {
    const frame = recording();
    if (!frame || event.source !== frame.contentWindow || !event.data || event.data.h3r !== "frame") return;
    shown = event.data;
    followViewer();
    drawFrames(event.data.people || []);
  });

  // People who are pointed at or chosen get a frame over the video, too, and pointing there counts in the viewer.
  let framed = [];
  window.addEventListener("resize", () => drawFrames(framed));
  function drawFrames(people) {
    framed = people;
    const video = find("overlay"), layer = video && video.parentElement.querySelector(".h3-frames");
    if (!layer) return;
    const { x, y, width, height } = pictureOf(video);
    layer.replaceChildren(...people.map(({ color, box: [x0, y0, x1, y1] }) => {
      const frame = document.createElement("i");
      frame.style.cssText = `left:${x + x0 * width}px;top:${y + y0 * height}px;width:${(x1 - x0) * width}px;`
        + `height:${(y1 - y0) * height}px;border-color:rgb(${color})`;
      return frame;
    }));
  }
  // The part of the video's element that the picture fills.
  function pictureOf(video) {
    const { clientWidth, clientHeight } = video, ratio = video.videoWidth / video.videoHeight || clientWidth / clientHeight;
    const width = Math.min(clientWidth, clientHeight * ratio), height = width / ratio;
    return { x: video.offsetLeft + (clientWidth - width) / 2, y: video.offsetTop + (clientHeight - height) / 2, width, height };
  }
  function sendPoint(name, video, event) {
    const { left, top } = video.parentElement.getBoundingClientRect(), { x, y, width, height } = pictureOf(video);
    send({ h3r: name, x: (event.clientX - left - x) / width, y: (event.clientY - top - y) / height });
  }
  document.addEventListener("pointermove", (event) => {
    const video = event.target.closest && event.target.closest("[data-h3=overlay]");
    if (video && event.buttons === 0) sendPoint("point", video, event);
  });
  document.addEventListener("pointerout", (event) => {
    if (event.target.matches && event.target.matches("[data-h3=overlay]")) send({ h3r: "point", x: -9, y: -9 });
  });

  // Seeks of the video by the visitor move the viewer.
  const seekViewer = (time_s) => send({ h3r: "seek", time_s: time_s + EDGE_S });
  document.addEventListener("seeking", (event) => {
    const video = event.target;
    if (!video.dataset || video.dataset.h3 !== "overlay") return;
    const near_s = shown === null ? 0 : (shown.to_s - shown.from_s) / 2;
    if (ownSeek_s === null || Math.abs(video.currentTime - ownSeek_s) > near_s) seekViewer(video.currentTime);
  }, true);
  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const video = event.target.closest && event.target.closest("[data-h3=overlay]");
    if (!video || event.button > 0 || video.controls) return;
    drag = { video, x: event.clientX, from_s: video.currentTime, hasMoved: false };
    video.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const part = (event.clientX - drag.x) / drag.video.clientWidth;
    if (Math.abs(event.clientX - drag.x) > 4) drag.hasMoved = true;
    const time_s = drag.from_s + part * drag.video.duration;
    if (drag.hasMoved) seekViewer(Math.min(Math.max(0, time_s), drag.video.duration - 1e-3));
  });
  document.addEventListener("pointerup", (event) => {
    if (drag && !drag.hasMoved) {
      send({ h3r: "toggle" });
      sendPoint("choose", drag.video, event);
    }
    drag = null;
  });
  document.addEventListener("pointercancel", () => { drag = null; });

  // The file dialog offers the supported kinds. Other files, dropped for example, are reported after the upload.
  document.addEventListener("click", (event) => {
    if (event.target.matches && event.target.matches("#h3-clip input[type=file]")) {
      event.target.accept = "video/*,image/*,.gif,.zip,.mkv";
    }
  }, true);

  // Gradio's own words for the upload are three lines about "files".
  function nameUpload() {
    const place = document.querySelector("#h3-clip button.center .wrap, #h3-clip button .wrap");
    if (place && !place.dataset.h3) {
      place.dataset.h3 = "drop";
      const isTouched = matchMedia("(pointer: coarse)").matches;
      place.textContent = isTouched ? "Choose a video" : "Drop a video here, or choose one";
      place.closest("button").setAttribute("aria-label", place.textContent);
    }
  }

  // A clip may be dropped anywhere, also on the viewer, which hands it over; a new one replaces the old.
  const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  function take(file) {
    const input = document.querySelector("#h3-clip input[type=file]");
    if (!input) {
      const remove = document.querySelector("#h3-clip button[aria-label=Clear], #h3-clip .top-panel button");
      if (remove) remove.click();
      setTimeout(() => take(file), 50);
      return;
    }
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      stage().classList.toggle("h3-dropping", name.startsWith("drage") || name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
    }, true);
  }
  window.addEventListener("message", (event) => {
    const frame = viewer();
    if (!frame || event.source !== frame.contentWindow || !event.data) return;
    if (event.data.h3r === "drop") take(event.data.file);
    if (event.data.h3r === "fill") frame.parentElement.classList.toggle("h3-fill");
    if (event.data.h3r === "dragging") stage().classList.toggle("h3-dropping", event.data.isOver);
  });

  // The address names what is shown, so that a reload shows it again; the cookie says that it is the same visitor.
  function remember(viewer) {
    if (!viewer || viewer.dataset.address === undefined) return;
    const address = new URL(location.href), named = new URLSearchParams(viewer.dataset.address);
    for (const name of ["result", "example"]) {
      if (named.has(name)) address.searchParams.set(name, named.get(name)); else address.searchParams.delete(name);
    }
    if (address.search === location.search) return;
    address.hash = "";  // a view of what was shown before
    history.replaceState(null, "", address);
  }
  if (!/(^|; )h3r_visitor=/.test(document.cookie)) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const name = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    document.cookie = "h3r_visitor=" + name + "; SameSite=Lax; path=" + location.pathname;
  }

  // On a phone the viewer is below the controls, and errors are above: scroll to what the visitor has asked for.
  let hasActed = false;
  for (const name of ["pointerdown", "keydown", "drop"]) document.addEventListener(name, () => { hasActed = true; }, true);
  const show = (element, block) => {
    if (element && hasActed && window.innerWidth <= 820) element.scrollIntoView({ block, behavior: "smooth" });
  };
  new MutationObserver((changes) => {
    const isNew = (selector) => changes.some((change) => [...change.addedNodes].some((node) =>
      node.querySelector && (node.matches(selector) || node.querySelector(selector))));
    remember(document.querySelector(".h3-viewer"));
    nameUpload();
    // The same problem again is no new element; the viewer that has emptied is.
    if (isNew(".h3-problem") || isNew(".h3-empty:not(.h3-working)")) show(document.querySelector(".h3-problem"), "center");
    if (!isNew("iframe")) return;
    shown = ownSeek_s = null;
    // A focused tile would receive the keys meant for the viewer.
    if (document.activeElement.matches(".h3-tile")) document.activeElement.blur();
    show(document.getElementById("h3-status"), "start");
  }).observe(document, { childList: true, subtree: true });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-h3]");
    if (!button) return;
    if (button.dataset.h3 === "theme") {
      const isDark = !document.body.classList.contains("dark");
      try { localStorage.setItem(THEME, isDark ? "dark" : "light"); } catch (error) { /* storage is off */ }
      document.body.classList.toggle("dark", isDark);
      applyTheme();
      send({ h3r: "theme", dark: isDark });
    }
    if (button.dataset.h3 === "compare") {
      const isOn = stage().classList.toggle("h3-side-by-side");
      button.setAttribute("aria-pressed", String(isOn));
      send({ h3r: "view", name: isOn ? "camera" : "world" });
      drawFrames(framed);
    }
    if (button.dataset.h3 === "delete" && window.confirm("Delete this result and its files now?")) {
      document.getElementById("h3-delete").click();
    }
    if (button.dataset.h3 === "copy") {
      // The moment and the view go along.
      const player = recording() && recording().contentWindow.h3r;
      const view = player && player.player ? player.Keep.link(player.player) : "";
      const address = new URL(button.dataset.path, document.baseURI).href + view;
      const before = button.textContent;
      const done = () => {
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = before; }, 1600);
      };
      if (navigator.clipboard) navigator.clipboard.writeText(address).then(done, () => window.prompt("Link", address));
      else window.prompt("Link", address);
    }
    if (button.dataset.h3 === "slow") {
      event.preventDefault();
      makeSlowly(button);
    }
    if (button.dataset.h3 === "download") {
      // Files are written on request; the browser shows no progress until then.
      button.setAttribute("aria-busy", "true");
      fetch(button.href, { method: "HEAD" }).catch(() => null).finally(() => button.removeAttribute("aria-busy"));
    }
  });

  // A download that takes long says how far it is; a second click stops it.
  const making = new Map();
  function makeSlowly(link) {
    if (making.has(link)) { making.get(link).abort(); return; }
    const stop = new AbortController(), before = [...link.childNodes];
    making.set(link, stop);
    link.setAttribute("aria-busy", "true");
    link.textContent = "Stop";
    const look = setInterval(() => fetch(link.href + "&progress=1").then((answer) => answer.json())
      .then(({ done, total }) => { if (total && making.has(link)) link.textContent = `${Math.round(100 * done / total)} % · Stop`; })
      .catch(() => null), 700);
    fetch(link.href, { method: "HEAD", signal: stop.signal })
      .then((answer) => { if (answer.ok) window.location.assign(link.href); }).catch(() => null)
      .finally(() => {
        clearInterval(look);
        making.delete(link);
        link.removeAttribute("aria-busy");
        link.replaceChildren(...before);
      });
  }

  // Space plays and pauses, the arrows step one frame, unless the focused element uses these keys.
  document.addEventListener("keydown", (event) => {
    if (!viewer() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [role=listbox], [contenteditable]")) return;
    if (event.code === "Space" && event.target.closest("button, a, summary")) return;
    if (event.code === "Space") send({ h3r: "toggle" });
    else if (event.code === "ArrowRight") send({ h3r: "step", frames: 1 });
    else if (event.code === "ArrowLeft") send({ h3r: "step", frames: -1 });
    else if (event.code === "Home") send({ h3r: "step", frames: -1e6 });
    else if (event.code === "End") send({ h3r: "step", frames: 1e6 });
    else return;
    event.preventDefault();
  });
})();
