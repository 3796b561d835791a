// On phones a result can be put into the room: Quick Look takes USDZ, Scene Viewer GLB. Both fetch it over HTTPS only.
(function () {
  "use strict";
  function addressFor(link) {
    if (location.protocol !== "https:") return null;
    const { userAgent, maxTouchPoints } = navigator;
    const file = (name) => new URL(link.dataset.folder + name, document.baseURI).href;
    // Tablets of Apple say that they are Macs; Macs have no touch screen.
    if (/iPhone|iPad/.test(userAgent) || (/Macintosh/.test(userAgent) && maxTouchPoints > 1)) {
      return link.dataset.usdz ? file(link.dataset.usdz) : null;
    }
    if (!/Android/.test(userAgent)) return null;
    const query = new URLSearchParams({ file: file("scene.glb"), mode: "ar_preferred", title: "Human3R" });
    return `intent://arvr.google.com/scene-viewer/1.0?${query}#Intent;scheme=https;package=com.google.ar.core;`
      + `action=android.intent.action.VIEW;S.browser_fallback_url=${encodeURIComponent(location.href)};end;`;
  }

  function offer() {
    for (const link of document.querySelectorAll("a[data-h3=ar]:not([href])")) {
      const address = addressFor(link);
      if (address === null) continue;
      link.href = address;
      link.closest("li").hidden = false;
    }
  }
  new MutationObserver(offer).observe(document, { childList: true, subtree: true });
})();
