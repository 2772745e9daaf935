// An echo client on the npm package ws: node ws_echo.mjs URL. Prints what it saw as JSON.
import WebSocket from "ws";

const url = process.argv[2];
const sent = ["text", Buffer.from([0, 1, 255]), "ü".repeat(40000), Buffer.alloc(300000, 7)];
const seen = { protocol: null, echoed: [], pong: null, code: null, reason: null };

const socket = new WebSocket(url, ["other", "chat.v1"]);

socket.on("open", () => {
  seen.protocol = socket.protocol;
  socket.ping("are you there?");
  for (const message of sent) socket.send(message);
  // One message in three fragments.
  socket.send("in ", { fin: false });
  socket.send("three ", { fin: false });
  socket.send("parts", { fin: true });
});
socket.on("pong", (data) => {
  seen.pong = data.toString();
});
socket.on("message", (data, isBinary) => {
  const expected = sent[seen.echoed.length] ?? "in three parts";
  const same = isBinary === Buffer.isBuffer(expected) && Buffer.from(expected).equals(data);
  seen.echoed.push(same);
  if (seen.echoed.length === sent.length + 1) socket.close(4001, "thank you");
});
socket.on("close", (code, reason) => {
  seen.code = code;
  seen.reason = reason.toString();
  console.log(JSON.stringify(seen));
});
socket.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
