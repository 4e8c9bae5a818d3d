// Admits, blocks and unblocks a subscriber of a stream.
//   node gate.mjs admit STREAM SUBSCRIBER
//   node gate.mjs block STREAM SUBSCRIBER SECONDS
//   node gate.mjs unblock STREAM SUBSCRIBER
// SLUICE is the application's address, such as http://127.0.0.1:5080/live.
import { randomBytes } from "node:crypto";

const [action, stream, subscriber, seconds] = process.argv.slice(2);
const subscribers = `${process.env.SLUICE}/rest/v2/broadcasts/${encodeURIComponent(stream)}/subscribers`;
const viewer = `${subscribers}/${encodeURIComponent(subscriber)}`;

async function ask(method, url, body) {
  const response = await fetch(url, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

async function call(method, url, body) {
  const result = await ask(method, url, body);
  // Sluice answers as Ant Media Server does: a refusal may come with status 200.
  if (!result.success) throw new Error(result.message);
  return result;
}

async function isRegistered() {
  const size = 50;
  for (let offset = 0; ; offset += size) {
    const some = await ask("GET", `${subscribers}/list/${offset}/${size}?search=${encodeURIComponent(subscriber)}`);
    if (some.some((one) => one.subscriberId === subscriber)) return true;
    if (some.length < size) return false;
  }
}

// 32 characters of base32 are 160 bits, what RFC 4226 (section 4) recommends.
function secret() {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  return Array.from(randomBytes(32), (byte) => letters[byte % 32]).join("");
}

const actions = {
  async admit() {
    // To register again would replace the secret, and end what its codes have opened.
    if (!(await isRegistered())) {
      await call("POST", subscribers, { subscriberId: subscriber, b32Secret: secret(), type: "play" });
    }
    const { dataId: code } = await call("GET", `${viewer}/totp?type=play`);
    console.log(`${process.env.SLUICE}/play.html?id=${stream}&subscriberId=${subscriber}&subscriberCode=${code}`);
  },
  async block() {
    await call("PUT", `${viewer}/block/${Number(seconds)}/play`);
    console.log(`${subscriber} sees nothing of ${stream} for ${seconds} s`);
  },
  async unblock() {
    await call("PUT", `${viewer}/block/0/play`);
    console.log(`${subscriber} sees ${stream} again`);
  },
};

if (!actions[action]) throw new Error("admit, block or unblock?");
await actions[action]();
