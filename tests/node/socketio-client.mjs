// socket.io-client against the guide's server: node socketio-client.mjs URL TRANSPORT
// TRANSPORT is websocket, polling, or upgrade. Prints as JSON what it saw.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { io } from "socket.io-client";

const [url, transport] = process.argv.slice(2);
const options = {
  transports: transport === "upgrade" ? ["polling", "websocket"] : [transport],
  forceNew: true,
  reconnection: false,
};

async function connected() {
  const socket = io(url, options);
  socket.on("connect_error", (error) => {
    throw error;
  });
  const upgraded = new Promise((resolve) => {
    socket.io.on("open", () => socket.io.engine.once("upgrade", resolve));
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  if (transport === "upgrade") await upgraded;
  return socket;
}

const first = await connected();
const second = await connected();

const heard = new Promise((resolve) => second.once("said", resolve));
const thanks = await first.emitWithAck("say", "ünïcode 🐍");
assert.equal(await heard, "ünïcode 🐍");

const photo = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
assert.ok(photo.equals(await second.emitWithAck("photo", photo)));

const said = [];
const all = new Promise((resolve) => {
  second.on("said", (text) => {
    said.push(Number(text));
    if (said.length === 200) resolve();
  });
});
for (let number = 0; number < 200; number += 10) {
  // python-engineio refuses a polling payload of more than 16 packets.
  const ten = [...Array(10).keys()].map((more) => String(number + more));
  await Promise.all(ten.map((text) => first.emitWithAck("say", text)));
}
await all;
said.sort((a, b) => a - b); // each event has a thread of its own in the server
assert.deepEqual(said, [...Array(200).keys()]);

let large = null;
if (transport !== "polling") {
  // A reader that is slower than the server: a pause after each piece that arrives.
  const raw = first.io.engine.transport.ws._socket;
  let pauses = 0;
  raw.on("data", () => {
    pauses++;
    raw.pause();
    setTimeout(() => raw.resume(), 1);
  });
  const data = await first.emitWithAck("large", 30_000_000);
  large = { size: data.length, digest: createHash("sha256").update(data).digest("hex"), pauses };
}

const used = first.io.engine.transport.name;
const gone = new Promise((resolve) => second.once("said", resolve));
first.disconnect();
const left = await gone;
second.disconnect();
if (second.io.engine.readyState !== "closed") {
  await new Promise((resolve) => second.io.engine.once("close", resolve));
}
console.log(JSON.stringify({ thanks, used, large, left }));
