// Chromium on a site behind a proxy: which protocol its page and its websocket travel over.
//
// node through-proxy.mjs URL HOST: prints what it saw as JSON.

import { chromium } from "playwright-core";

const [url, host] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--ignore-certificate-errors", `--host-resolver-rules=MAP ${host} 127.0.0.1`,
  ],
});
try {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  page.setDefaultTimeout(Number(process.env.BROWSER_TIMEOUT));
  await page.goto(`${url}/echo/`);
  const seen = await page.evaluate(async (address) => {
    const socket = new WebSocket(address, ["chat.v1"]);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error("the websocket failed"));
    });
    const answer = new Promise((resolve) => {
      socket.onmessage = (event) => resolve(event.data);
    });
    socket.send("from a page");
    const message = await answer;
    const ended = new Promise((resolve) => {
      socket.onclose = resolve;
    });
    socket.close(3003, "seen");
    const { code, reason, wasClean } = await ended;
    const page = performance.getEntriesByType("navigation")[0].nextHopProtocol;
    return { page, subprotocol: socket.protocol, message, code, reason, wasClean };
  }, `${url.replace("https", "wss")}/ws/echo/?key=browser`);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
