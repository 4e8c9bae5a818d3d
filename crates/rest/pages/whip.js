// What both pages share: addresses, and one WHIP or WHEP session.
"use strict";

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// The address of a stream below this page's application, with who asks.
function address(path, access) {
  const url = new URL(path, location.href);
  for (const name of ["subscriberId", "subscriberCode", "token"]) {
    if (access[name]) url.searchParams.set(name, access[name]);
  }
  return url;
}

// The server does not take candidates later, so they all go with the offer.
async function gathered(peer) {
  const complete = new Promise((done) => {
    const look = () => peer.iceGatheringState === "complete" && done();
    peer.addEventListener("icegatheringstatechange", look);
    look();
  });
  await Promise.race([complete, wait(1500)]);
}

// Refused by the server, with its word for it.
class Refused extends Error {
  constructor(status, word) {
    super(word);
    this.status = status;
    this.blocked = status === 403 && word === "user_blocked";
  }
}

// Offers what `peer` has; answers the function that ends the session there.
async function negotiate(peer, url) {
  await peer.setLocalDescription();
  await gathered(peer);
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/sdp" },
    body: peer.localDescription.sdp,
  });
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim());
  const place = answer.headers.get("location");
  const end = () => {
    if (place) fetch(new URL(place, answer.url), { method: "DELETE", keepalive: true }).catch(() => {});
  };
  try {
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

// Whether the connection is gone for good; a short loss repairs itself.
function lossWatch(peer, patience) {
  let lost = 0;
  return () => {
    const state = peer.connectionState;
    if (state === "connected") lost = 0;
    else if (!lost) lost = Date.now();
    return state === "failed" || state === "closed" || (lost > 0 && Date.now() - lost > patience);
  };
}
