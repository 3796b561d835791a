// The page's own behaviour: theme, the overlay video in step with the viewer, keys, and the link to a result.
(function () {
  "use strict";
  const find = (name) => document.querySelector('[data-h3="' + name + '"]');
  const recording = () => {
    const place = find("recording");
    return place && place.querySelector("iframe");
  };
  const viewer = () => document.querySelector(".h3-viewer iframe");  // of a recording, or of a run that goes on
  const tell = (message) => {
    const frame = viewer();
    if (frame) frame.contentWindow.postMessage(message, location.origin);
  };

  // The viewer says which frame it shows; the overlay shows the same. A seek takes a while, so the newest wish waits.
  let wish = null;   // frame of the viewer
  let own_s = null;  // where this script has sent the video
  const fpsOf = (video) => parseFloat(video.dataset.fps);
  function chase() {
    const video = find("overlay");
    if (!video || video.readyState < 1 || video.seeking || wish === null) return;
    // The middle of a frame: its edges round to either side.
    const seek = Math.min((wish + 0.5) / fpsOf(video), Math.max(0, video.duration - 0.25 / fpsOf(video)));
    if (Math.abs(video.currentTime - seek) > 0.1 / fpsOf(video)) {
      own_s = seek;
      video.currentTime = seek;
    }
  }
  document.addEventListener("seeked", chase, true);
  document.addEventListener("loadeddata", chase, true);
  window.addEventListener("message", (event) => {
    const frame = recording();
    if (!frame || event.source !== frame.contentWindow || !event.data || event.data.h3r !== "frame") return;
    wish = event.data.i;
    chase();
  });

  // And the other way round: whoever moves the video moves the viewer.
  const lead = (video, time_s) => tell({ h3r: "seek", frame: Math.floor(time_s * fpsOf(video) + 1e-3) });
  document.addEventListener("seeking", (event) => {
    const video = event.target;
    if (!video.dataset || video.dataset.h3 !== "overlay") return;
    if (own_s === null || Math.abs(video.currentTime - own_s) > 0.5 / fpsOf(video)) lead(video, video.currentTime);
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
    if (drag.hasMoved) lead(drag.video, Math.min(Math.max(0, time_s), drag.video.duration - 1e-3));
  });
  document.addEventListener("pointerup", () => {
    if (drag && !drag.hasMoved) tell({ h3r: "toggle" });
    drag = null;
  });
  document.addEventListener("pointercancel", () => { drag = null; });

  // The file dialog offers what can be used. Other files may still come: they get a sentence that says what is wrong.
  document.addEventListener("click", (event) => {
    if (event.target.matches && event.target.matches("#h3-clip input[type=file]")) {
      event.target.accept = "video/*,image/*,.gif,.zip,.mkv";
    }
  }, true);

  // A result stays after a reload: its token is in the address as long as it is on the page.
  function remember(token) {
    const address = new URL(location.href);
    if (token) address.searchParams.set("result", token); else address.searchParams.delete("result");
    if (address.href !== location.href) history.replaceState(null, "", address);
  }

  // On a phone the viewer is below the controls, and what went wrong may be above the window: bring it into view.
  const show = (element, block) => {
    if (element && window.innerWidth <= 820) element.scrollIntoView({ block, behavior: "smooth" });
  };
  new MutationObserver((changes) => {
    const isNew = (selector) => changes.some((change) => [...change.addedNodes].some((node) =>
      node.querySelector && (node.matches(selector) || node.querySelector(selector))));
    const place = find("recording");
    if (place) remember(place.dataset.token);
    if (isNew(".h3-problem")) show(document.querySelector(".h3-problem"), "center");
    if (!isNew("iframe")) return;
    wish = own_s = null;
    // The tile that opened it would take the keys of the viewer.
    if (document.activeElement.matches(".h3-tile")) document.activeElement.blur();
    show(document.getElementById("h3-status"), "start");
  }).observe(document, { childList: true, subtree: true });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-h3]");
    if (!button) return;
    if (button.dataset.h3 === "theme") {
      const isDark = document.body.classList.toggle("dark");
      tell({ h3r: "theme", dark: isDark });
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
      // Files are written when somebody asks for them, and the browser says nothing until then.
      button.setAttribute("aria-busy", "true");
      fetch(button.href, { method: "HEAD" }).catch(() => null).finally(() => button.removeAttribute("aria-busy"));
    }
  });

  // Space plays and pauses, the arrows step one frame, unless something that uses these keys has the focus.
  document.addEventListener("keydown", (event) => {
    if (!viewer() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [role=listbox], [contenteditable]")) return;
    if (event.code === "Space" && event.target.closest("button, a, summary")) return;
    if (event.code === "Space") tell({ h3r: "toggle" });
    else if (event.code === "ArrowRight") tell({ h3r: "step", frames: 1 });
    else if (event.code === "ArrowLeft") tell({ h3r: "step", frames: -1 });
    else return;
    event.preventDefault();
  });
})();
