// The network breaks in every way that a proxy in between can make it break: nothing is lost,
// nothing comes twice.

import { strict as assert } from "node:assert";
import { createServer, connect } from "node:net";
import { once } from "node:events";
import { run } from "./browser.mjs";

const target = new URL(process.argv[2]);

// A proxy that can cut every connection, let none in, or deliver nothing to the client.
class Network {
  sockets = new Set();
  down = false;
  deaf = false;

  async listen() {
    this.server = createServer((client) => {
      if (this.down) return client.destroy();
      const server = connect(Number(target.port), target.hostname);
      for (const socket of [client, server]) {
        this.sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => (client.destroy(), server.destroy(), this.sockets.delete(socket)));
      }
      client.on("data", (data) => server.write(data));
      server.on("data", (data) => this.deaf || client.write(data));
    }).listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return `http://127.0.0.1:${this.server.address().port}/`;
  }

  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  close() {
    this.cut();
    this.server.close();
  }
}

run(async (open) => {
  const network = new Network();
  const ada = await open("Ada Lovelace", await network.listen());
  const grace = await open("Grace Hopper", target.href);
  await ada.state("Live");
  await ada.say("before");
  await grace.sees("before");

  // down: what both say meanwhile comes when it is up again, without a reload
  network.down = true;
  network.cut();
  await ada.state("Reconnecting");
  await grace.present("You");
  await ada.write("written into the void");
  await grace.say("said meanwhile");
  assert.equal(await ada.page.locator("[data-pending]").count(), 1);
  network.down = false;
  await ada.sees("said meanwhile");
  await ada.sees("written into the void");
  await grace.sees("written into the void");
  await ada.state("Live");
  await grace.present("You and Ada Lovelace");

  // it arrives, but the answer does not: sent again, stored once
  network.deaf = true;
  await ada.write("did it arrive?");
  await grace.sees("did it arrive?");
  assert.equal(await ada.page.locator("[data-pending]").count(), 1);
  network.deaf = false;
  network.cut();
  await ada.sees("did it arrive?");
  await ada.say("it did");
  await grace.sees("it did");
  assert.equal(await ada.page.locator("[data-pending]").count(), 0);
  assert.deepEqual(await ada.texts(), await grace.texts());

  // the device itself is offline
  await ada.page.context().setOffline(true);
  await ada.state("Offline");
  await grace.say("are you offline?");
  await ada.page.context().setOffline(false);
  await ada.sees("are you offline?");
  await ada.state("Live");

  // too long: said at once, nothing sent, nothing lost
  await ada.field.fill("x".repeat(1003));
  await ada.page.getByText("-3", { exact: true }).waitFor();
  await ada.field.press("Enter");
  await ada.page.getByRole("alert").filter({ hasText: "3 characters too many" }).waitFor();
  assert.equal((await ada.field.inputValue()).length, 1003);
  // refused by the server: the text comes back into the field
  await ada.field.evaluate((field) => (field.value = `half ${String.fromCharCode(0xd800)}`));
  await ada.field.press("Enter");
  await ada.page.getByRole("alert").filter({ hasText: "lone surrogate" }).waitFor();
  assert.match(await ada.field.inputValue(), /^half/);
  assert.equal(await ada.page.locator("[data-pending]").count(), 0);

  // a reader who went up is not torn down, but told
  await ada.field.fill("");
  await ada.say("line\n".repeat(60).trim());
  await ada.page.locator("#log").evaluate((log) => (log.scrollTop = 0));
  await ada.page.waitForFunction(() => document.getElementById("log").scrollTop === 0);
  await grace.say("further down");
  await ada.page.getByRole("button", { name: "New messages" }).click();
  await ada.page.getByText("further down").waitFor();
  await ada.page.getByRole("button", { name: "New messages" }).waitFor({ state: "hidden" });

  // the session is over: led to the sign-in, with the draft kept for afterwards
  const tab = await ada.secondTab();
  await tab.page.getByRole("button", { name: "Sign out" }).click();
  await tab.page.getByRole("heading", { name: "Who are you today?" }).waitFor();
  await ada.field.fill("a draft");
  network.cut();
  await ada.page.getByRole("button", { name: "Ada Lovelace" }).click();
  await ada.state("Live");
  assert.equal(await ada.field.inputValue(), "a draft");
  network.close();

  // a new message comes, and the missed ones before it do not: asked for from the same place again
  const asked = [];
  const message = { id: 10 ** 6, key: "", room: "lobby", text: "too early",
    author: { username: "ada", name: "Ada Lovelace", tint: 1 }, sent_at: new Date().toISOString() };
  await grace.page.routeWebSocket(/\/live\//, (socket) => {
    asked.push(socket.url());
    if (asked.length > 1) return socket.connectToServer();
    socket.send(JSON.stringify({ type: "message", message }));
    return socket.close({ code: 1012 });
  });
  await grace.page.reload();
  await grace.state("Live");
  await grace.say("in order");
  assert.equal(asked[1], asked[0]);
  assert.ok(!(await grace.texts()).includes("too early"));
});
