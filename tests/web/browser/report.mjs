/** The page of a report in a browser, as a file beside its stems or alone: what its keys and buttons play. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.UGOSA_NODE_MODULES}/`)("playwright-core");
const SOON_MS = 60_000;
const SONG_S = 12;

/** Keep every player of the page, which has none in its document. */
function keepPlayers() {
  const Plain = window.Audio;
  window.players = [];
  window.Audio = function Audio(...given) {
    const audio = new Plain(...given);
    window.players.push(audio);
    return audio;
  };
}

const playing = () => window.players.filter((audio) => !audio.paused);

const scenarios = {
  async every_take_plays_any_place_of_the_song({ page, words, plays }) {
    assert.deepEqual(await words(), ["the whole song", "the whole song", "the whole song"]);
    await page.locator(".lane.stem .lane-plot").first().click({ position: { x: 5, y: 20 } });
    await page.keyboard.press("l"); // a slow machine must not come to the end of the song
    await page.keyboard.press("Space");
    for (const [key, part] of [["a", "takes/base/"], ["b", "takes/marked/"], ["c", "out/drums.wav"]]) {
      await page.keyboard.press(key);
      await page.waitForFunction(
        (part) => {
          const all = window.players.filter((audio) => !audio.paused);
          const places = all.map((audio) => audio.currentTime);
          const apart = Math.max(...places) - Math.min(...places);
          return all.length === 4 && all[0].src.includes(part) && apart < 0.01 && places[0] > 0;
        },
        part,
        { timeout: SOON_MS },
      );
    }
    await page.keyboard.press("Space");
    assert.equal((await plays()).length, 0);
  },
  async text_grows_with_the_browser({ page }) {
    const size = () => page.evaluate(() => parseFloat(getComputedStyle(document.body).fontSize));
    const before = await size();
    await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
    assert.equal(await size(), 2 * before);
  },
  async keys_solo_mute_and_loop({ page, heard, plays, box }) {
    assert.deepEqual(await heard(), [true, true, true, true]);
    await page.keyboard.press("4");
    assert.deepEqual(await heard(), [false, false, false, true]);
    await page.keyboard.press("4");
    await page.keyboard.press("Shift+Digit1");
    assert.deepEqual(await heard(), [false, true, true, true]);
    await page.keyboard.press("Escape");
    assert.deepEqual(await heard(), [true, true, true, true]);
    const { x, y, width } = await box();
    await page.mouse.move(x + (3 / SONG_S) * width, y + 20);
    await page.mouse.down();
    await page.mouse.move(x + (3.6 / SONG_S) * width, y + 20, { steps: 4 });
    await page.mouse.up();
    await page.keyboard.press("Space");
    const places = [];
    while (!places.some((at, n) => at < places[n - 1])) { // until it has gone round
      await page.waitForTimeout(60);
      places.push(...(await plays()).slice(0, 1));
      assert.ok(Math.min(...places) > 2.9 && Math.max(...places) < 4.5, `${places}`);
    }
  },
  async page_alone_plays_the_excerpt_of_every_take({ page, words, plays, troubles }) {
    assert.ok((await words()).every((text) => /^\d+ s from 0:0\d$/.test(text)), `${await words()}`);
    assert.ok(await page.locator(".hint.beside").isVisible());
    for (const key of ["a", "b", "c"]) {
      await page.keyboard.press(key);
      await page.keyboard.press("Space");
      await page.waitForFunction(() => window.players.filter((audio) => !audio.paused).length === 4, null, {
        timeout: SOON_MS,
      });
      assert.equal((await plays()).length, 4);
      await page.keyboard.press("Space");
    }
    assert.ok(troubles.every((text) => text.includes("ERR_FILE_NOT_FOUND")), `${troubles}`);
    troubles.length = 0;
  },
};

const [name, address] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.UGOSA_CHROMIUM,
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const troubles = [];
page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
page.on("pageerror", (error) => troubles.push(String(error)));
await page.addInitScript(keepPlayers);
try {
  await page.goto(address);
  await page.waitForSelector(".listen.ready", { timeout: SOON_MS });
  await scenarios[name]({
    page,
    troubles,
    words: () => page.locator(".take small").allTextContents(),
    plays: () => page.evaluate(`(${playing})().map((audio) => audio.currentTime)`),
    heard: () => page.evaluate(() => window.players.slice(-4).map((audio) => !audio.muted)),
    box: () => page.locator(".lane.stem .lane-plot").first().boundingBox(),
  });
  assert.deepEqual(troubles, [], "the console has errors");
} catch (error) {
  await page.screenshot({ path: `${process.env.UGOSA_OUT}/failed.png` });
  throw error;
} finally {
  await browser.close();
}
