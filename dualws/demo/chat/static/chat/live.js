// A websocket that comes back: after a break it waits a moment, longer each time, and asks for
// what it has missed.

const FIRST_WAIT = 500; // ms
const LONGEST_WAIT = 15_000;

export class Live {
  #socket = null;
  #failures = 0;
  #timer = 0;

  // url: called for each attempt; the address holds the id of the newest message
  // onState(state, text), onOpen(), onEvent(object), onSignedOut()
  constructor(options) {
    Object.assign(this, options);
    addEventListener("online", () => this.#retryNow());
    addEventListener("offline", () => this.#lost());
    addEventListener("pageshow", (event) => event.persisted && this.#retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#retryNow());
  }

  open() {
    clearTimeout(this.#timer);
    this.onState("connecting", "Connecting");
    const url = new URL(this.url(), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url, this.protocol));
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#failures = 0;
      this.onState("live", "Live");
      this.onOpen();
    };
    socket.onmessage = ({ data }) => this.onEvent(JSON.parse(data));
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      if (!opened) this.#checkSignedIn();
      this.#lost();
    };
  }

  // False while there is no connection; the caller keeps what it wants to send again.
  send(object) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(object));
    return true;
  }

  #lost() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    clearTimeout(this.#timer);
    if (!navigator.onLine) {
      this.onState("offline", "Offline");
      return; // "online" goes on
    }
    // Jitter: when a server restarts, its clients must not all come back in the same instant.
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures) * (0.5 + Math.random());
    this.#failures += 1;
    this.onState("waiting", "Reconnecting");
    this.#timer = setTimeout(() => this.open(), wait);
  }

  #retryNow() {
    if (this.#socket) return;
    this.#failures = 0;
    this.open();
  }

  // A browser does not tell a script why a handshake was refused. When the session is over the
  // page itself leads to the sign-in.
  async #checkSignedIn() {
    try {
      const answer = await fetch(location.href, { method: "HEAD", redirect: "manual" });
      if (answer.type === "opaqueredirect") this.onSignedOut();
    } catch {
      // the server is away; the timer goes on
    }
  }
}
