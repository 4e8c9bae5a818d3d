// Publishes camera and microphone by WHIP, and again after every loss until
// stopped. A blocked publisher is told so and tries on with the same code.
"use strict";

const form = document.querySelector("form");
const video = document.querySelector("video");
const state = document.querySelector(".state");
const query = new URLSearchParams(location.search);
let running = 0;
let endNow = () => {};

function tell(text) {
  state.textContent = text;
}

for (const name of ["id", "subscriberId", "subscriberCode"]) {
  form.elements[name].value = query.get(name) ?? "";
}

// H.264 plays everywhere, in RTMP and HLS too.
function preferH264(sender) {
  const { codecs } = RTCRtpSender.getCapabilities("video");
  const h264 = (codec) => codec.mimeType.toLowerCase() === "video/h264";
  sender.setCodecPreferences?.([...codecs.filter(h264), ...codecs.filter((codec) => !h264(codec))]);
}

// One session, until it is lost or stopped.
async function publish(url, media, isMine) {
  const peer = new RTCPeerConnection();
  let end = () => {};
  try {
    for (const track of media.getTracks()) {
      const sender = peer.addTransceiver(track, { direction: "sendonly", streams: [media] });
      if (track.kind === "video") preferH264(sender);
    }
    end = await negotiate(peer, url);
    endNow = () => {
      peer.close();
      end();
    };
    const gone = lossWatch(peer, 8000);
    while (isMine() && !gone()) {
      tell(peer.connectionState === "connected" ? "Live" : "Connecting");
      await wait(500);
    }
  } finally {
    peer.close();
    end();
    endNow = () => {};
  }
}

function reason(error) {
  if (!(error instanceof Refused)) return "The server cannot be reached. Trying again.";
  if (error.blocked) return "You are blocked from publishing. Trying again until the block ends.";
  if (error.status === 409) return "Somebody publishes this stream already. Trying again.";
  if (error.status === 403) return "Not allowed to publish. The code may be wrong or expired.";
  return `The server refused: ${error.message}`;
}

async function run(url, media, isMine) {
  while (isMine()) {
    try {
      await publish(url, media, isMine);
    } catch (error) {
      if (isMine()) tell(reason(error));
    }
    if (isMine()) await wait(3000);
  }
}

async function openCamera() {
  if (!navigator.mediaDevices) throw new Error("Camera and microphone need HTTPS, or a page from localhost.");
  return navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: true });
}

function stop() {
  running += 1;
  endNow();
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  form.elements.start.disabled = false;
  form.elements.stop.disabled = true;
  tell("");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const access = Object.fromEntries(new FormData(form));
  const mine = (running += 1);
  form.elements.start.disabled = true;
  form.elements.stop.disabled = false;
  try {
    const media = await openCamera();
    if (running !== mine) return media.getTracks().forEach((track) => track.stop());
    video.srcObject = media;
    access.token = query.get("token");
    await run(address(`whip/${encodeURIComponent(access.id.trim())}`, access), media, () => running === mine);
  } catch (error) {
    stop();
    tell(error.message);
  }
});
form.elements.stop.addEventListener("click", stop);
addEventListener("pagehide", () => endNow());
