// The page of a room: joins the connection (live.js) to what is seen (room.js).

import { Live } from "./live.js";
import { Room } from "./room.js";

const page = document.getElementById("room");
const room = new Room(page);

// Messages on their way: key -> text. One leaves when it comes back from the server, so what
// was sent into a breaking connection is sent again by the next one. The server knows the
// key and stores it only once.
const outbox = new Map();

// Messages that came before the missed ones; null once these are there. Until then a new message
// does not count as seen: a break would leave a gap before it.
let early = [];

const live = new Live({
  url: () => page.dataset.live.replace(/\d+\/$/, `${room.newest}/`),
  protocol: "chat.v1",
  onState: (state, text) => room.showState(state, text),
  onOpen: () => {
    early = [];
    outbox.forEach((text, key) => live.send({ key, text }));
  },
  onEvent: (event) => handlers[event.type]?.(event),
  onSignedOut: () => {
    outbox.forEach((text, key) => room.giveBack(key, text));
    location.reload();
  },
});

const handlers = {
  missed({ messages }) {
    [...messages, ...early].forEach(show);
    early = null;
  },
  message({ message }) {
    if (early) early.push(message);
    else show(message);
  },
  presence({ rooms }) {
    room.showPresence(rooms);
  },
  error({ detail, key }) {
    if (outbox.has(key)) room.giveBack(key, outbox.get(key));
    outbox.delete(key);
    room.showProblem(detail);
  },
};

function show(message) {
  outbox.delete(message.key);
  room.add(message);
}

room.onSay = (text) => {
  const key = newKey();
  outbox.set(key, text);
  room.addPending(key, text);
  live.send({ key, text });
};

// crypto.randomUUID exists only on https and localhost; the demo may be open on a phone at home.
function newKey() {
  const [...bytes] = crypto.getRandomValues(new Uint8Array(16));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")
    .replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

live.open();
