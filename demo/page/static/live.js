// Live: the visitor's camera goes to the server picture by picture, and the player shows what the model makes of it.
// The run is the server's; this script sends pictures, takes up a lost socket again, and shows the numbers.
(function () {
  "use strict";
  const PICTURES_PER_S = 20, MAX_UNDERWAY = 12, QUALITY = 0.85, RETRY_MS = 1000, RETRIES = 28, LEFT = 4001, GONE = 4404;
  const RENEW_MS = 100;  // the server works on one picture and keeps the newest: it should not be older than this
  const SELDOM_MS = 220;  // between two pictures of the page, where the processor draws it
  const LOADING_MS = 500;  // between two pictures to the server there while the player loads, which needs the processor
  const find = (name) => document.querySelector('[data-h3-live="' + name + '"]');
  const say = (text) => { if (find("line").textContent !== text) find("line").textContent = text; };
  // The players know it. Each new picture of a video would make the processor draw the whole page again.
  const drawsInSoftware = () => [...document.querySelectorAll("iframe")].some((frame) => frame.contentWindow && (frame.contentWindow.h3r || {}).drawsInSoftware);
  const playerWindow = () => { const frame = find("viewer").querySelector("iframe"); return frame && frame.contentWindow; };
  const camera = window.h3Camera;
  let run = null;  // the run on this page, or null

  // The run that this tab has left.
  const FORMER = "h3r_live";
  function remembered() {
    try { return sessionStorage.getItem(FORMER); } catch (error) { return null; /* storage is off */ }
  }
  function remember(token) {
    try { if (token) sessionStorage.setItem(FORMER, token); else sessionStorage.removeItem(FORMER); } catch (error) { /* storage is off */ }
  }

  function openPlayer(address) {
    const frame = document.createElement("iframe");
    frame.src = address;
    frame.title = "Live 4D viewer: what your camera sees";
    find("viewer").replaceChildren(frame);
  }

  // The player takes a second to load: out of sight, before the click.
  function prepare() {
    const stage = find("stage");
    if (run || !stage || playerWindow() || !camera.canBeUsed()) return;
    stage.dataset.ahead = "";
    stage.hidden = false;
    openPlayer("./viewer/ahead/");
  }

  function complain(text) {
    const place = find("problem");
    place.textContent = text;
    place.hidden = !text;
    if (text) place.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  // The server prepares the run while the browser asks for the camera.
  async function start() {
    if (run) return;
    complain("");
    const own = run = { token: null, socket: null, stream: null, size: null, ready: null, underway: [], tries: 0,
      isOver: false, isSoftware: false, timer: 0, sent_ms: 0, shown_ms: 0, people: [], canvas: document.createElement("canvas"), started_ms: performance.now() };
    document.body.classList.add("h3-is-live");
    const behind = document.querySelector(".h3-viewer iframe");
    if (behind) behind.contentWindow.postMessage({ h3r: "pause" }, location.origin);
    delete find("stage").dataset.ahead;
    find("stage").hidden = false;
    find("stage").scrollIntoView({ block: "nearest" });
    find("turn").hidden = true;
    say("Connecting");
    const opened = use(own, { facingMode: "user" });
    if (camera.canBeUsed()) connect(own);
    try {
      await opened;
    } catch (error) {
      end(own, error.message, LEFT);
      return;
    }
    begin(own);
    find("turn").hidden = !(await camera.areSeveral());
  }

  // Show a camera; who looks into it sees a mirror.
  async function use(own, choice) {
    const stream = await camera.open(choice), video = find("video");
    if (own.isOver) {  // the run ended meanwhile: the server has said why
      camera.close(stream);
      return;
    }
    own.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => { if (own.stream === stream) lose(own); });
    video.parentElement.classList.toggle("h3-live-mirrored", !camera.facesAway(stream));
    video.srcObject = stream;
    await video.play().catch(() => null);
  }

  function address(token) {
    const url = new URL(token ? "./live/" + token : "./live", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = url.hash = "";
    return url.href;
  }

  function connect(own) {
    const socket = own.socket = new WebSocket(address(own.token));
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => { if (own.socket === socket) take(own, JSON.parse(event.data)); };
    socket.onopen = () => { own.tries = 0; own.underway = []; };
    socket.onclose = () => {
      if (own.isOver || own.socket !== socket) return;
      if (own.tries++ >= RETRIES) { end(own, "The connection to the server was lost."); return; }
      own.line = "";
      say("Connection lost. Trying again");
      setTimeout(() => { if (!own.isOver) connect(own); }, RETRY_MS);
    };
  }

  function take(own, message) {
    if (message.type === "hello") own.token = message.token;
    if (message.type === "waiting" && message.text) say(message.text);
    if (message.type === "loading" || message.type === "writing") say(message.text);
    if (message.type === "ready") open(own, message);
    if (message.type === "frame") show(own, message);
    if (message.type === "writing") rest(own);
    if (message.type === "writing" && own.stream) camera.close(own.stream);
    if (message.type === "problem") end(own, message.text);
    if (message.type === "deleted") end(own, "");
    if (message.type === "done") {
      end(own, "");
      showResult(message.token);
    }
  }

  function showResult(token) {
    const page = new URL(location.href);
    page.searchParams.set("result", token);
    page.searchParams.delete("example");
    location.assign(page);
  }

  // A page that is loaded again has ended its run: it shows the result as soon as there is one.
  function followFormer(token) {
    const socket = new WebSocket(address(token));
    socket.onopen = () => socket.send("stop");
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "writing") complain("The recording ended with the page. Its result is being written.");
      if (message.type === "problem") complain(message.text);
      if (message.type === "done") showResult(token);
    };
    socket.onclose = (event) => { if (event.code === GONE) showResult(token); };  // it is finished already
  }

  // The server is ready: the player loads while the camera is not there yet.
  function open(own, message) {
    if (own.ready === null) {
      const address = new URL("./viewer/" + message.token + "/live/", document.baseURI).href;
      const { become } = (playerWindow() || {}).h3r || {};
      if (become) become(address); else openPlayer(address);
    }
    own.ready = message;
    say(own.size ? "Looking" : "Waiting for the camera");
    begin(own);
  }

  // Both are there, server and camera: send pictures.
  function begin(own) {
    const video = find("video");
    if (own.isOver || own.size !== null || own.ready === null || video.srcObject !== own.stream || !video.videoWidth) return;
    const scale = own.ready.side / Math.max(video.videoWidth, video.videoHeight);
    own.size = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
    [own.canvas.width, own.canvas.height] = own.size;
    find("overlay").style.aspectRatio = own.size.join("/");
    own.timer = setInterval(() => {
      own.isSoftware = own.isSoftware || drawsInSoftware();  // the player may load later than the camera
      find("stage").classList.toggle("h3-live-plain", own.isSoftware);
      if (own.isSoftware) showSeldom(own);
      send(own);
    }, 1000 / PICTURES_PER_S);
    say("Looking");
    send(own);
  }

  function rest(own) {
    clearInterval(own.timer);
    own.timer = 0;
  }

  // The picture is taken here; two are sent at once, one to work on and one that waits, which newer ones replace.
  function send(own) {
    const video = find("video"), socket = own.socket;
    if (!own.timer || video.readyState < 2 || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > 0) return;
    const since_ms = performance.now() - own.underway[own.underway.length - 1];
    // An answer may be missing: pictures that the server could not use have none.
    if (own.underway.length >= MAX_UNDERWAY && since_ms > 2000) own.underway = [];
    if (own.underway.length >= MAX_UNDERWAY || (own.underway.length >= 2 && since_ms < RENEW_MS)) return;
    const taken_ms = performance.now(), player = (playerWindow() || {}).h3r || {};
    if (own.isSoftware && !player.player && taken_ms - own.sent_ms < LOADING_MS) return;
    own.sent_ms = taken_ms;
    copyPicture(own);
    // At once: browsers put off ``toBlob`` until they have nothing else to do.
    const encoded = atob(own.canvas.toDataURL("image/jpeg", QUALITY).split(",")[1]);
    const message = new Uint8Array(8 + encoded.length);
    new DataView(message.buffer).setFloat64(0, (taken_ms - own.started_ms) / 1000, true);
    for (let index = 0; index < encoded.length; index++) message[8 + index] = encoded.charCodeAt(index);
    own.underway.push(taken_ms);
    socket.send(message);
  }

  // The camera of a phone may turn: the picture keeps its size, with borders.
  function copyPicture(own) {
    const video = find("video"), [width, height] = own.size;
    const scale = Math.min(width / video.videoWidth, height / video.videoHeight);
    const [w, h] = [video.videoWidth * scale, video.videoHeight * scale];
    const context = own.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    context.fillRect(0, 0, width, height);
    context.drawImage(video, (width - w) / 2, (height - h) / 2, w, h);
  }

  function show(own, message) {
    const taken_ms = own.started_ms + 1000 * message.taken_s;
    own.underway = own.underway.filter((each) => each > taken_ms + 0.5);
    own.delay_ms = Math.max(0, Math.round(performance.now() - taken_ms));
    const count = message.people.length;
    own.people = message.people;
    own.line = Math.round(message.fps) + " fps · " + own.delay_ms + " ms · " + (count === 1 ? "1 person" : count + " people");
    if (!own.isSoftware) {
      say(own.line);
      draw(own);
    }
    send(own);
  }

  // Together with the player's picture: the processor draws both at once.
  function showSeldom(own) {
    const player = playerWindow(), now_ms = performance.now();
    if (find("video").readyState < 2 || now_ms - own.shown_ms < SELDOM_MS || !player) return;
    own.shown_ms = now_ms;
    player.requestAnimationFrame(() => {
      if (own.isOver) return;
      if (own.line) say(own.line);
      copyPicture(own);
      draw(own);
    });
  }

  // The people over the video; where the video is not shown, over its picture.
  function draw(own) {
    const overlay = find("overlay"), [width, height] = own.size;
    const scale = own.isSoftware ? 1 : 2;
    [overlay.width, overlay.height] = [scale * width, scale * height];
    const context = overlay.getContext("2d", { willReadFrequently: own.isSoftware });
    if (own.isSoftware) context.drawImage(own.canvas, 0, 0, overlay.width, overlay.height);
    context.lineWidth = scale * Math.max(1.5, width / 120);
    context.lineCap = "round";
    for (const { color, lines } of own.people) {
      context.strokeStyle = "rgb(" + color.join() + ")";
      context.beginPath();
      for (const [x0, y0, x1, y1] of lines) {
        context.moveTo(x0 * overlay.width, y0 * overlay.height);
        context.lineTo(x1 * overlay.width, y1 * overlay.height);
      }
      context.stroke();
    }
  }

  async function turn() {
    const own = run;
    if (!own || !own.stream || own.isTurning) return;
    own.isTurning = true;
    const same = camera.choiceOf(own.stream), other = await camera.other(own.stream);
    camera.close(own.stream);  // phones open one at a time
    try {
      await use(own, other);
    } catch (error) {
      complain(error.message);
      await use(own, same).catch(() => lose(own));
    }
    own.isTurning = false;
  }

  function lose(own) {
    if (own.isOver) return;
    ask("stop");
    complain("The camera was disconnected. The result is what it showed until then.");
  }

  function ask(word) {
    if (!run) return;
    rest(run);
    say(word === "stop" ? "Stopping" : "Deleting");
    if (run.socket && run.socket.readyState === WebSocket.OPEN) run.socket.send(word);
  }

  function end(own, problem, code = 1000) {
    own.isOver = true;
    rest(own);
    if (own.stream) camera.close(own.stream);
    if (own.socket && own.socket.readyState === WebSocket.CONNECTING) own.socket.onopen = () => own.socket.close(code);
    else if (own.socket) own.socket.close(code);
    document.body.classList.remove("h3-is-live");
    find("stage").hidden = true;
    find("viewer").replaceChildren();
    complain(problem);
    run = null;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button[data-h3-live]");
    if (!button) return;
    const actions = { start, turn, stop: () => ask("stop"), discard: () => ask("discard") };
    actions[button.dataset.h3Live]();
  });
  // Where the visitor points at the button, and else as soon as no other player loads or plays on the processor.
  for (const name of ["pointerover", "pointerdown", "focusin"]) {
    document.addEventListener(name, (event) => { if (event.target.closest && event.target.closest("[data-h3-live=start]")) prepare(); });
  }
  const nothingPlays = new URLSearchParams(location.search).get("example") === "";
  const seeing = setInterval(() => {
    if (!find("stage")) return;
    clearInterval(seeing);
    const former = remembered();
    remember(null);
    if (former) followFormer(former);
  }, 100);
  const waiting = setInterval(() => {
    const other = document.querySelector(".h3-viewer iframe"), { player, drawsInSoftware } = (other && other.contentWindow.h3r) || {};
    if (!find("stage") || !(nothingPlays || player)) return;
    clearInterval(waiting);
    if (nothingPlays || !drawsInSoftware) prepare();
  }, 300);
  window.addEventListener("pagehide", () => {
    if (!run || !run.socket) return;
    run.socket.close(LEFT);
    remember(run.token);
  });
})();
