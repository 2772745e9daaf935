// Two people sign in, see each other and each other's messages, also after a reload.

import { strict as assert } from "node:assert";
import { PHONE, run } from "./browser.mjs";

const [address, carrier] = process.argv.slice(2);

run(async (open) => {
  const ada = await open("Ada Lovelace", address);
  await ada.state("Live");
  await ada.present("You");
  assert.match(await ada.page.locator("#log").innerText(), /Nobody has said anything yet/);
  const grace = await open("Grace Hopper", address, { ...PHONE, colorScheme: "dark" });
  await grace.state("Live");
  await ada.present("You and Grace Hopper");
  await grace.present("You and Ada Lovelace");

  // each other's messages, as text and never as HTML
  await ada.say("Hello, Grace");
  await grace.sees("Hello, Grace");
  await grace.say('<img src=x onerror="document.title=1"> & two\nlines');
  await ada.sees('<img src=x onerror="document.title=1"> & two\nlines');
  assert.equal(await ada.page.locator(".text img").count(), 0);

  // after a reload they are still there, and so is everybody
  await ada.page.reload();
  await ada.sees("Hello, Grace");
  await ada.state("Live");
  await ada.present("You and Grace Hopper");
  await grace.present("You and Ada Lovelace");
  await ada.say("Back again");
  await grace.sees("Back again");
  await grace.page.reload();
  await grace.state("Live");
  await ada.present("You and Grace Hopper");
  assert.deepEqual(await grace.texts(), await ada.texts());
  await grace.say("Me too");
  await ada.sees("Me too");

  // the time is local: India is half an hour off every full hour of UTC
  const time = grace.page.locator("li.message time").last();
  const utc = new Date(await time.getAttribute("datetime"));
  const minutes = (utc.getUTCMinutes() + 30) % 60;
  assert.match(await time.textContent(), new RegExp(`:${String(minutes).padStart(2, "0")}`));

  // a second tab makes nobody twice, and closing it nobody absent
  const tab = await ada.secondTab();
  await tab.state("Live");
  await tab.present("You and Grace Hopper");
  await tab.say("From the other tab");
  await ada.sees("From the other tab");
  await tab.page.close();
  await ada.say("And from this one");
  await grace.present("You and Ada Lovelace");

  // another room: away from here, seen there
  await grace.page.getByRole("link", { name: "Engine room" }).click();
  await grace.state("Live");
  await ada.present("You");
  await ada.page.getByRole("link", { name: "Engine room Grace Hopper" }).waitFor();
  assert.deepEqual(await grace.texts(), []);

  // every page says what carries it; nothing is wider than the phone
  for (const { page } of [ada, grace]) {
    await page.getByText(`Carried by ${carrier}`).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  }

  // signing out is leaving
  await grace.page.getByRole("button", { name: "Sign out" }).click();
  await grace.page.getByRole("heading", { name: "Who are you today?" }).waitFor();
  await ada.page.locator('[data-room="engine-room"] [data-people]:empty').waitFor({ state: "attached" });
});
