// The only file that touches viser's client. The client publishes `window.__viserMutable` in every build; through it we
// add messages of viser's own protocol to its queue, as its own sources do, and move its camera. Nothing is replaced.
// The reasons are in the README of the folder above.
(function (h3r) {
  "use strict";
  const client = () => window.__viserMutable;
  // viser turns a scene whose up axis is +y by half a turn about that axis.
  const toThree = ([x, y, z]) => [-x, y, -z];

  h3r.client = {
    get isReady() { return Boolean(client() && client().cameraControl); },
    get isIdle() { return client().messageQueue.length === 0; },
    get canvas() { return client().canvas; },

    send(...messages) {
      for (const message of messages) client().messageQueue.push({ owner: "", ...message });
      client().requestRender();
    },

    // Show a surface in the clip's own colors: the client's tone mapping is for its lights. It loads in its own time.
    keepColors(name, attempts = 600) {
      let isThere = false;
      const node = client().nodeRefFromName[name];
      if (node) node.traverse(({ material }) => {
        if (!material || !material.map) return;
        material.toneMapped = false;
        material.needsUpdate = isThere = true;
      });
      if (isThere) client().requestRender();
      else if (attempts > 0) setTimeout(() => h3r.client.keepColors(name, attempts - 1), 100);
    },

    // Stand at a position and look at a point; coordinates are the scene's.
    stand(position, look_at, up, isSmooth) {
      const { camera, cameraControl } = client();
      camera.up.set(...toThree(up));
      cameraControl.updateCameraUp();
      cameraControl.setLookAt(...toThree(position), ...toThree(look_at), isSmooth);
      client().requestRender();
    },

    // Move along with a point, keeping distance and direction to it.
    moveTo(point) { client().cameraControl.moveTo(...toThree(point), false); },
  };
})(window.h3r = window.h3r || {});
