// What the player's buttons and rows are made of.
(function (h3r) {
  "use strict";
  const ICONS = {
    play: "M7 4.5v15l12-7.5z", pause: "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z",
    loop: "M17 3l4 4-4 4V8H8a3 3 0 0 0-3 3v1H3v-1a5 5 0 0 1 5-5h9zM7 21l-4-4 4-4v3h9a3 3 0 0 0 3-3v-1h2v1a5 5 0 0 1-5 5H7z",
    layers: "M4 6h10v2H4zm14 0h2v2h-2v1.6h-2V4.4h2zM4 16h2v2H4zm6 0h10v2H10v1.6H8v-5.2h2zM4 11h4v2H4zm8 0h8v2h-8v1.6h-2V9.4h2z",
    full: "M4 4h6v2H6v4H4zm10 0h6v6h-2V6h-4zM4 14h2v4h4v2H4zm14 0h2v6h-6v-2h4z",
    eye: "M12 6c4.6 0 8 3.4 9.6 6-1.6 2.6-5 6-9.6 6s-8-3.4-9.6-6C4 9.4 7.4 6 12 6zm0 2.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
  };
  h3r.icon = (name) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path fill-rule="evenodd" d="${ICONS[name]}"/></svg>`;

  h3r.make = function (parent, tag, className, properties, html) {
    const element = Object.assign(document.createElement(tag), { className, ...properties });
    if (html) element.innerHTML = html;
    for (const name of ["label", "pressed", "expanded"]) {
      if (properties && properties[name] !== undefined) element.setAttribute("aria-" + name, properties[name]);
    }
    parent.append(element);
    return element;
  };
})(window.h3r = window.h3r || {});
