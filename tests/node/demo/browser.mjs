// Chromium with the two people of the demo, each in a context of their own, like two devices.

import { strict as assert } from "node:assert";
import { chromium } from "playwright-core";

const TIMEOUT = Number(process.env.BROWSER_TIMEOUT); // ms

export const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
export const DESKTOP = { viewport: { width: 1280, height: 800 } };

// Run scenario(open), where open(name, address, options) signs somebody in, and fail when any
// page had an error of its own.
export async function run(scenario) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
      "--disable-background-networking", "--disable-component-update",
    ],
  });
  const errors = [];
  const open = async (name, address, options = DESKTOP) => {
    const context = await browser.newContext({ ...options, timezoneId: "Asia/Kolkata" });
    context.setDefaultTimeout(TIMEOUT);
    context.on("weberror", (error) => errors.push(`${name}: ${error.error()}`));
    const page = await context.newPage();
    await page.goto(address);
    await page.getByRole("button", { name }).click();
    return new Person(page, name);
  };
  try {
    await scenario(open);
    assert.deepEqual(errors, []);
  } finally {
    await browser.close();
  }
  console.log("passed");
}

// Somebody in a room. Every method waits for what it names.
export class Person {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.field = page.getByRole("textbox", { name: /^Message to / });
  }

  async state(text) {
    await this.page.getByRole("status").filter({ hasText: text }).waitFor();
  }

  async write(text) {
    await this.field.fill(text);
    await this.field.press("Enter");
  }

  async say(text) {
    await this.write(text);
    await this.sees(text);
  }

  // Exactly once, and not merely on its way.
  async sees(text) {
    const found = this.page.locator("li.message:not([data-pending]) .text").filter({ hasText: text });
    await found.first().waitFor();
    assert.equal(await found.count(), 1, `${this.name} sees ${text} more than once`);
    assert.equal(await found.textContent(), text);
  }

  async present(text) {
    await this.page.locator("#here").getByText(text, { exact: true }).waitFor();
  }

  texts() {
    return this.page.locator("li.message .text").allTextContents();
  }

  async secondTab() {
    const page = await this.page.context().newPage();
    await page.goto(this.page.url());
    return new Person(page, this.name);
  }
}
