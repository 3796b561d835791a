// The only file that touches viser's client. The client publishes `window.__viserMutable` in every build; through it we
// add messages of viser's own protocol to its queue, as its own sources do, and move its camera. Nothing is replaced.
// The reasons are in the README of the folder above.
(function (h3r) {
  "use strict";
  const client = () => window.__viserMutable;
  // A line's vertex as deep as if it were a meter nearer to the viewer, whichever way the depth buffer counts.
  const LIFT = "min(1.0, 0.5 * clip.w)";
  const LIFTED = `gl_Position = vec4(clip.xy, (projectionMatrix[2][2] * (${LIFT} - clip.w) + projectionMatrix[3][2]) * clip.w / (clip.w - ${LIFT}), clip.w);`;
  // viser turns a scene whose up axis is +y by half a turn about that axis.
  const toThree = ([x, y, z]) => [-x, y, -z];

  // Change the materials of a node that loads in its own time.
  function changeMaterials(name, isMeant, change, then = () => {}, attempts = 600) {
    const node = client().nodeRefFromName[name], found = [];
    if (node) node.traverse(({ material }) => { if (material && isMeant(material)) found.push(material); });
    for (const material of found) Object.assign(material, change(material), { needsUpdate: true });
    if (found.length) { client().requestRender(); then(); }
    else if (attempts > 0) setTimeout(() => changeMaterials(name, isMeant, change, then, attempts - 1), 100);
  }
  const toLinear = (byte) => (byte <= 10 ? byte / 3294.6 : ((byte / 255 + 0.055) / 1.055) ** 2.4);

  h3r.client = {
    get isReady() { return Boolean(client() && client().cameraControl); },
    get isIdle() { return client().messageQueue.length === 0; },
    get canvas() { return client().canvas; },

    send(...messages) {
      for (const message of messages) client().messageQueue.push({ owner: "", ...message });
      client().requestRender();
    },

    // Light that costs little: no shadows, and a sky in place of the picture that the client reflects in bodies.
    lightPlainly() {
      this.send(
        { type: "EnableLightsMessage", enabled: true, cast_shadow: false },
        { type: "EnvironmentMapMessage", hdri_data: null, background: false, background_blurriness: 0, background_intensity: 1,
          background_wxyz: [1, 0, 0, 0], environment_intensity: 1, environment_wxyz: [1, 0, 0, 0] },
        { type: "HemisphereLightMessage", name: "/sky", virtual: false, props: { sky_color: [255, 255, 255], ground_color: [150, 150, 160], intensity: 1.2 } });
    },

    // Show a surface in the clip's own colors: the client's tone mapping is for its lights. `then` is called when the next
    // picture has it, which is some time after its node is there: its texture is decoded first.
    keepColors(name, then) { changeMaterials(name, ({ map }) => map, () => ({ toneMapped: false }), then); },

    // Draw a line on the floor over the unevenness of the ground.
    lift(name) {
      changeMaterials(name, ({ isLineMaterial }) => isLineMaterial,
        ({ vertexShader }) => ({ vertexShader: vertexShader.replace("gl_Position = clip;", LIFTED) }));
    },

    // Color a body vertex by vertex with sRGB bytes; null: with one color again. It loads in its own time.
    dress(name, colors, color, attempts = 600) {
      let isThere = false;
      const node = client().nodeRefFromName[name];
      if (node) node.traverse(({ isSkinnedMesh, geometry, material }) => {
        if (!isSkinnedMesh || (colors && 3 * geometry.attributes.position.count !== colors.length)) return;
        const { constructor: Attribute } = geometry.attributes.position;
        if (colors) geometry.setAttribute("color", new Attribute(Float32Array.from(colors, toLinear), 3));
        material.vertexColors = Boolean(colors);
        if (colors) material.color.set("white"); else material.color.setRGB(...color.map(toLinear));
        material.needsUpdate = isThere = true;
      });
      if (isThere) client().requestRender();
      else if (attempts > 0) setTimeout(() => h3r.client.dress(name, colors, color, attempts - 1), 100);
    },

    // Stand at a position and look at a point; coordinates are the scene's.
    stand(position, look_at, up, isSmooth) {
      const { camera, cameraControl } = client();
      camera.up.set(...toThree(up));
      cameraControl.updateCameraUp();
      cameraControl.setLookAt(...toThree(position), ...toThree(look_at), isSmooth);
      client().requestRender();
    },

    // Where the viewer stands, and the point it looks at, in the scene's coordinates.
    get view() {
      const { camera, cameraControl } = client(), target = cameraControl.getTarget(camera.position.clone());
      return { position: toThree(camera.position.toArray()), look_at: toThree(target.toArray()) };
    },

    // A point of the scene in pixels of the canvas, or null behind the viewer.
    toPixels(point) {
      const { camera, canvas } = client(), [x, y, z] = toThree(point);
      const seen = camera.position.clone().set(x, y, z).project(camera);
      if (seen.z > 1) return null;
      return [(seen.x + 1) / 2 * canvas.clientWidth, (1 - seen.y) / 2 * canvas.clientHeight];
    },

    // A copy of what is seen now on a transparent ground, drawn anew so that its longer side has so many pixels.
    picture(side_px) {
      const { camera, canvas, scene } = client(), { gl } = scene.__r3f.root.getState(), ratio = gl.getPixelRatio();
      gl.setPixelRatio(side_px / Math.max(canvas.clientWidth, canvas.clientHeight));
      gl.render(scene, camera);
      const picture = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      picture.getContext("2d").drawImage(canvas, 0, 0);
      gl.setPixelRatio(ratio);
      gl.render(scene, camera);
      return picture;
    },

    // The scene's point under a pixel: of the drawn points and surfaces near it the foremost, or else the floor.
    hit([x, y], near_px = 8) {
      const { camera, canvas, scene } = client(), { clientWidth, clientHeight } = canvas;
      const vector = camera.position.clone(), transform = camera.projectionMatrix.clone();
      let best = null, best_score = Infinity;
      scene.traverseVisible((node) => {
        const points = (node.isPoints || (node.isMesh && !node.isSkinnedMesh)) && node.geometry.attributes.position;
        if (!points || node.isInstancedMesh || points.count < 100) return;
        const toClip = transform.multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse).multiply(node.matrixWorld);
        for (let index = 0; index < points.count; index++) {
          vector.set(points.getX(index), points.getY(index), points.getZ(index)).applyMatrix4(toClip);
          if (vector.z > 1) continue;
          const off_px = Math.hypot((vector.x + 1) / 2 * clientWidth - x, (1 - vector.y) / 2 * clientHeight - y);
          const score = vector.z + 1e-6 * off_px;
          if (off_px > near_px || score >= best_score) continue;
          best_score = score;
          best = [node, index];
        }
      });
      if (best) {
        const [node, index] = best, points = node.geometry.attributes.position;
        vector.set(points.getX(index), points.getY(index), points.getZ(index)).applyMatrix4(node.matrixWorld);
        return toThree(vector.toArray());
      }
      vector.set(2 * x / clientWidth - 1, 1 - 2 * y / clientHeight, 0.5).unproject(camera).sub(camera.position);
      const steps = -camera.position.y / vector.y;
      return steps > 0 ? toThree(vector.multiplyScalar(steps).add(camera.position).toArray()) : null;
    },

    // Move along with a point, keeping distance and direction to it.
    moveTo(point) { client().cameraControl.moveTo(...toThree(point), false); },
  };
})(window.h3r = window.h3r || {});
