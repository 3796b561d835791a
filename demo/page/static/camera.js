// The visitor's cameras: one is open at a time.
window.h3Camera = (function () {
  "use strict";
  const REASONS = {
    NotAllowedError: "The browser does not let this page use the camera. Allow it in the address bar, then press Live again.",
    NotFoundError: "No camera was found. Connect one, or record a clip elsewhere and upload it.",
    NotReadableError: "The camera is in use by another program. Close that one, then press Live again.",
  };
  const settingsOf = (stream) => stream.getVideoTracks()[0].getSettings();
  const all = async () => (await navigator.mediaDevices.enumerateDevices()).filter((each) => each.kind === "videoinput");

  return {
    // Browsers hide cameras from pages that came without encryption.
    canBeUsed: () => Boolean(window.isSecureContext && navigator.mediaDevices && navigator.mediaDevices.getUserMedia),

    // Open the camera of a choice: ``facingMode`` or ``deviceId``.
    async open(choice) {
      if (!this.canBeUsed()) {
        throw new Error("The camera needs HTTPS, or a page on this machine (localhost). Open the page that way.");
      }
      const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, ...choice };
      try {
        return await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      } catch (error) {
        throw new Error(REASONS[error.name] || "The camera cannot be opened (" + error.name + ").");
      }
    },

    close(stream) { for (const track of stream.getTracks()) track.stop(); },
    choiceOf: (stream) => ({ deviceId: { exact: settingsOf(stream).deviceId } }),
    facesAway: (stream) => settingsOf(stream).facingMode === "environment",
    areSeveral: async () => (await all()).length > 1,

    // The choice of the camera that faces the other way, or of the next one where that is not known.
    async other(stream) {
      const { deviceId, facingMode } = settingsOf(stream);
      if (facingMode) return { facingMode: facingMode === "user" ? "environment" : "user" };
      const ids = (await all()).map((each) => each.deviceId);
      return { deviceId: { exact: ids[(ids.indexOf(deviceId) + 1) % ids.length] } };
    },
  };
})();
