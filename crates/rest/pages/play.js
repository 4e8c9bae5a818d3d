// Watches a stream: WebRTC by WHEP first, HLS where that does not go. Whoever is
// blocked is told so and does nothing: playback comes back by itself.
"use strict";

const query = new URLSearchParams(location.search);
const id = query.get("id") ?? "";
const access = Object.fromEntries(query);
const video = document.querySelector("video");
const state = document.querySelector(".state");
const BLOCKED = "You are blocked. Playback continues by itself when the block ends.";
const NOT_ALLOWED = "Not allowed to watch. The code may be wrong or expired.";
const WAITING = "The stream is not live yet.";
const SILENT = "Nothing arrives. The stream is paused, or you are blocked; playback continues by itself.";
const FEW = "The server has no room to convert this stream for WebRTC: few of its pictures are shown.";

function tell(text) {
  if (state.textContent !== text) state.textContent = text;
}

async function start() {
  video.muted = query.get("mute") !== "false";
  if (query.get("autoplay") === "false") return;
  try {
    await video.play();
  } catch {
    video.muted = true;
    await video.play().catch(() => {});
  }
}

// Counts what was decoded, so that it can be seen to stand still; and pictures.
async function progress(peer) {
  const sum = { count: 0, frames: 0, keys: 0 };
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== "inbound-rtp") continue;
    sum.count += (report.framesDecoded ?? 0) + (report.packetsReceived ?? 0);
    sum.frames += report.framesDecoded ?? 0;
    sum.keys += report.keyFramesDecoded ?? 0;
  }
  return sum;
}

// Says whether only key frames have come for a while, which is what is left of a
// stream with B-frames that the server has no room to convert. One picture that
// is none, or many in a second, tell of another stream; of browsers that do not
// count key frames nothing is known.
function keyFrameWatch() {
  let mark = null;
  return ({ frames, keys }, now) => {
    if (!mark || frames - mark.frames !== keys - mark.keys) mark = { frames, keys, at: now };
    const [shown, seconds] = [frames - mark.frames, (now - mark.at) / 1000];
    return shown >= 2 && seconds >= 8 && shown < 2 * seconds;
  };
}

// Plays until the connection is lost. "next": this way does not go at all, or
// another way, if there is one, shows more of the pictures.
async function watch(peer, isLast) {
  const gone = lossWatch(peer, 8000);
  const sparse = keyFrameWatch();
  let [seen, at, played] = [0, Date.now(), false];
  for (;;) {
    await wait(500);
    if (gone()) return played ? "again" : "next";
    const sum = await progress(peer);
    const few = sparse(sum, Date.now());
    if (few && !isLast) return "next";
    const still = Date.now() - at;
    if (sum.count > seen) {
      [seen, at, played] = [sum.count, Date.now(), true];
      tell(few ? FEW : "");
    } else if (!played && still > 10000) {
      return "next";
    } else if (played && still > 1500) {
      tell(SILENT);
    }
  }
}

// What a refusal means. Repeating one code is not counted as guessing. Who may not
// play this way may be let in the next: HLS keeps the place that he had before.
async function refused(error, isLast) {
  if (error.blocked) tell(BLOCKED);
  else if (error.status === 403 && !isLast) return "next";
  else if (error.status === 403) tell(NOT_ALLOWED);
  else if (error.status === 404 && error.message === "no_stream_exist") tell(WAITING);
  else return "next";
  await wait(2000);
  return "again";
}

async function webrtc(isLast) {
  if (!window.RTCPeerConnection) return "next";
  const peer = new RTCPeerConnection();
  const media = new MediaStream();
  let end = () => {};
  const leave = () => end();
  addEventListener("pagehide", leave);
  try {
    peer.addEventListener("track", ({ track }) => media.addTrack(track));
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addTransceiver("audio", { direction: "recvonly" });
    end = await negotiate(peer, address(`whep/${encodeURIComponent(id)}`, access));
    video.srcObject = media;
    start();
    return await watch(peer, isLast);
  } catch (error) {
    return error instanceof Refused ? refused(error, isLast) : "next";
  } finally {
    removeEventListener("pagehide", leave);
    peer.close();
    end();
    video.srcObject = null;
  }
}

function loadHlsJs() {
  return new Promise((done) => {
    if (window.Hls) return done();
    const script = document.createElement("script");
    script.src = "../assets/hls.js";
    script.onload = script.onerror = () => done();
    document.head.append(script);
  });
}

async function hls() {
  await loadHlsJs();
  const url = address(`streams/${encodeURIComponent(id)}.m3u8`, access).href;
  if (window.Hls?.isSupported()) return withHlsJs(url);
  if (video.canPlayType("application/vnd.apple.mpegurl")) return natively(url);
  return "next";
}

// hls.js gives up on 401, 403 and 404; this goes on until the picture is back.
// Does not return: there is no better way after this one.
function withHlsJs(url) {
  const player = new Hls();
  let listed = false;
  let retry = 0;
  const again = (ms) => {
    clearTimeout(retry);
    retry = setTimeout(() => {
      if (listed) player.startLoad();
      else player.loadSource(url);
      again(ms);
    }, ms);
  };
  player.on(Hls.Events.MANIFEST_PARSED, () => {
    listed = true;
    start();
  });
  player.on(Hls.Events.FRAG_BUFFERED, () => {
    clearTimeout(retry);
    tell("");
    const edge = player.liveSyncPosition;
    if (edge && video.currentTime < edge - 15) video.currentTime = edge;
  });
  player.on(Hls.Events.ERROR, (_, error) => {
    const status = error.response?.code ?? 0;
    if (status === 401) {
      tell(BLOCKED);
      again(1000);
    } else if (error.fatal && error.type === Hls.ErrorTypes.MEDIA_ERROR) {
      player.recoverMediaError();
    } else if (error.fatal) {
      // The grant is gone, or the stream is: ask for it anew, from the beginning.
      tell(status === 403 ? NOT_ALLOWED : WAITING);
      listed = false;
      again(2000);
    }
  });
  player.attachMedia(video);
  player.loadSource(url);
  return new Promise(() => {});
}

// Browsers do not tell why native HLS fails, so it is asked for once more.
async function natively(url) {
  for (;;) {
    const answer = await fetch(url).catch(() => ({ status: 0 }));
    if (answer.status === 200) {
      const over = new Promise((done) => (video.onerror = video.onended = done));
      video.onplaying = () => tell("");
      video.src = url;
      start();
      await over;
    }
    tell({ 401: BLOCKED, 403: NOT_ALLOWED }[answer.status] ?? WAITING);
    await wait(answer.status === 401 ? 1000 : 2000);
  }
}

async function play() {
  const ways = { webrtc, hls };
  const order = (query.get("playOrder") ?? "webrtc,hls").split(",").filter((way) => way in ways);
  if (!order.length) return tell("Nothing in playOrder can be played here.");
  for (let way = 0; ; ) {
    if (way >= order.length) {
      tell("This browser cannot play the stream. Trying again.");
      await wait(5000);
      way = 0;
    }
    if ((await ways[order[way]](way === order.length - 1)) === "next") way += 1;
  }
}

if (id) {
  document.title = `Watch ${id}`;
  document.querySelector("main").classList.add("bare");
  tell("Connecting");
  play();
} else {
  tell("Which stream?");
  document.querySelector("form").hidden = false;
}
