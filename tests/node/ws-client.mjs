// The npm client "ws" against an echo: node ws-client.mjs URL ORIGIN
// Prints as JSON what it saw; fails when an echo differs or comes out of order.

import { strict as assert } from "node:assert";
import { once } from "node:events";
import WebSocket from "ws";

const [url, origin] = process.argv.slice(2);
const socket = new WebSocket(url, ["chat.v0", "chat.v1"], { origin });
const [upgrade] = await once(socket, "upgrade");
if (socket.readyState !== WebSocket.OPEN) await once(socket, "open");

async function echo(sent) {
  socket.send(sent);
  const [data, isBinary] = await once(socket, "message");
  assert.equal(isBinary, typeof sent !== "string");
  assert.deepEqual(isBinary ? data : data.toString(), sent);
}

await echo("plain");
await echo("ünïcode 🐍");
await echo("");
await echo(Buffer.from([0, 255, 128]));
await echo("x".repeat(200_000));
await echo(Buffer.alloc(1_000_000, 7));

const count = 500;
const numbers = [];
const all = new Promise((resolve) => {
  socket.on("message", function collect(data) {
    numbers.push(Number(data.toString()));
    if (numbers.length === count) {
      socket.off("message", collect);
      resolve();
    }
  });
});
for (let number = 0; number < count; number++) socket.send(String(number));
await all;
assert.deepEqual(numbers, [...Array(count).keys()]);

socket.send("in ", { fin: false });
socket.send("three ", { fin: false });
socket.send("parts", { fin: true });
assert.equal((await once(socket, "message"))[0].toString(), "in three parts");

socket.ping("are you there");
const [pong] = await once(socket, "pong");

socket.close(3001, "done here");
const [code, reason] = await once(socket, "close");

console.log(
  JSON.stringify({
    protocol: socket.protocol,
    connection: upgrade.headers.connection,
    pong: pong.toString(),
    code,
    reason: reason.toString(),
  }),
);
