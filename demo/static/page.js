// The page's own behaviour: theme, the overlay video in step with the viewer, keys, and the link to a result.
(function () {
  "use strict";
  const find = (name) => document.querySelector('[data-h3="' + name + '"]');
  const recording = () => {
    const place = find("recording");
    return place && place.querySelector("iframe");
  };
  const tell = (message) => {
    const frame = recording();
    if (frame) frame.contentWindow.postMessage(message, location.origin);
  };

  // The viewer says its time; the overlay shows the same frame. A seek takes a while, so the newest wish waits.
  let wish_s = null;
  let moved_ms = 0;
  let resume = null;
  function chase() {
    const video = find("overlay");
    if (!video || video.readyState < 1 || video.seeking || wish_s === null) return;
    const fps = parseFloat(video.dataset.fps);
    // The middle of a frame: its edges round to either side.
    const target = (Math.floor(wish_s * fps + 1e-3) + 0.5) / fps;
    const seek = Math.min(target, Math.max(0, video.duration - 0.25 / fps));
    if (Math.abs(video.currentTime - seek) > 0.1 / fps) video.currentTime = seek;
  }
  document.addEventListener("seeked", chase, true);
  document.addEventListener("loadeddata", chase, true);
  window.addEventListener("message", (event) => {
    const frame = recording();
    if (!frame || event.source !== frame.contentWindow || !event.data || event.data.h3r !== "time") return;
    if (resume !== null) {  // another view has loaded: go on where the last one was
      tell({ h3r: "seek", time_s: resume.time_s });
      if (resume.plays) tell({ h3r: "toggle" });
      resume = null;
      return;
    }
    wish_s = event.data.time_s;
    moved_ms = performance.now();
    chase();
  });

  // The file dialog offers what can be used. Other files may still come: they get a sentence that says what is wrong.
  document.addEventListener("click", (event) => {
    if (event.target.matches && event.target.matches("#h3-clip input[type=file]")) {
      event.target.accept = "video/*,image/*,.gif,.zip,.mkv";
    }
  }, true);

  // On a phone the viewer is below the controls: bring it into view when it changes.
  new MutationObserver((changes) => {
    const isNew = changes.some((change) => [...change.addedNodes].some((node) =>
      node.querySelector && (node.matches("iframe") || node.querySelector("iframe"))));
    if (isNew && window.innerWidth <= 820) {
      document.getElementById("h3-status").scrollIntoView({ block: "start", behavior: "smooth" });
    }
  }).observe(document, { childList: true, subtree: true });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-h3]");
    if (!button) return;
    if (button.dataset.h3 === "theme") document.body.classList.toggle("dark");
    if (button.dataset.h3 === "overlay") tell({ h3r: "toggle" });
    if (button.dataset.h3 === "view") {
      const frame = recording();
      if (wish_s !== null) resume = { time_s: wish_s, plays: performance.now() - moved_ms < 500 };
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      frame.src = button.dataset.src;
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
  });

  // Space plays and pauses, the arrows step one frame, unless something that uses these keys has the focus.
  document.addEventListener("keydown", (event) => {
    if (!recording() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, button, a, summary, [role=listbox], [contenteditable]")) return;
    const fps = parseFloat(find("recording").dataset.fps);
    if (event.code === "Space") tell({ h3r: "toggle" });
    else if (event.code === "ArrowRight") tell({ h3r: "step", step_s: 1 / fps });
    else if (event.code === "ArrowLeft") tell({ h3r: "step", step_s: -1 / fps });
    else return;
    event.preventDefault();
  });
})();
