/** A browser on the page of `ugosa web`, and what a hand does there. */

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.UGOSA_NODE_MODULES}/`)("playwright-core");
const SOON_MS = 120_000; // a busy machine takes its time

/** A name that leads to this machine, as one does that a foreign page has rebound. */
export const REBOUND = "rebound.example";
const TABLET = { viewport: { width: 1024, height: 768 }, hasTouch: true, isMobile: true };

/**
 * Open the page of a song.
 * @param {string} address with its key
 * @param {boolean} onTablet
 */
export async function openPage(address, onTablet) {
  const browser = await chromium.launch({
    executablePath: process.env.UGOSA_CHROMIUM,
    args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", `--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`],
  });
  const size = onTablet ? TABLET : { viewport: { width: 1280, height: 800 } };
  const context = await browser.newContext({ ...size, acceptDownloads: true });
  context.setDefaultTimeout(SOON_MS);
  const page = await context.newPage();
  const troubles = [];
  page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
  page.on("pageerror", (error) => troubles.push(String(error)));
  await page.goto(address);
  const hand = { browser, context, page, troubles, ...actions(page), fingers: await fingers(context, page) };
  await hand.until(() => window.ugosa?.lanes);
  // All lanes are drawn.
  await hand.until(() => window.ugosa.lanes.pxPerS > 0 && !document.querySelector(".lane.mix.borrowed"));
  return hand;
}

function actions(page) {
  /** Wait until something is so on the page. */
  const until = (condition, argument) => page.waitForFunction(condition, argument, { timeout: SOON_MS });
  const box = async (source) => page.locator(`.lane[data-source=${source}] .plot`).boundingBox();
  return {
    until,
    /** Drag on a lane from one share of its width to another. */
    async drag(source, from, to, { key = "", y = 0.6 } = {}) {
      const { x, y: top, width, height } = await box(source);
      if (key) await page.keyboard.down(key);
      await page.mouse.move(x + from * width, top + y * height);
      await page.mouse.down();
      await page.mouse.move(x + ((from + to) / 2) * width, top + y * height, { steps: 3 });
      await page.mouse.move(x + to * width, top + y * height, { steps: 3 });
      await page.mouse.up();
      if (key) await page.keyboard.up(key);
    },
    async click(source, at) {
      const { x, y, width, height } = await box(source);
      await page.mouse.click(x + at * width, y + 0.6 * height);
    },
    /** The marks of the page, short: "vocals silent 0.10 0.50" as shares of the song. */
    marks: () =>
      page.evaluate(() =>
        window.ugosa.editor.marks.all.map(
          ({ source, state, start_frame: start, end_frame: end }) =>
            `${source} ${state} ${(start / window.ugosa.frames).toFixed(2)} ${(end / window.ugosa.frames).toFixed(2)}`,
        ),
      ),
    /** Have the jobs of the page learn until what is learned is taken. */
    learnForLong: () =>
      page.route("**/api/jobs", (route) => {
        const { options, ...rest } = route.request().postDataJSON();
        return route.continue({ postData: JSON.stringify({ ...rest, options: { ...options, epochs: 1000 } }) });
      }),
    /** Separate, and wait for all jobs to end. */
    async separate(versions) {
      await page.keyboard.press("r");
      await until(
        (count) =>
          window.ugosa.playback.versions.length === count &&
          window.ugosa.playback.versions[0].job.state === "succeeded" &&
          window.ugosa.playback.takes.length === 2,
        versions,
      );
    },
  };
}

/** Fingers on the lanes: each path is a list of [source, share of the width, share of the height]. */
async function fingers(context, page) {
  const session = await context.newCDPSession(page);
  const touch = (type, touchPoints) => session.send("Input.dispatchTouchEvent", { type, touchPoints });
  return async (...paths) => {
    const boxes = {};
    for (const [source] of paths.flat()) boxes[source] ??= await page.locator(`.lane[data-source=${source}] .plot`).boundingBox();
    const at = (step) =>
      paths.map((path, id) => {
        const [source, across, down] = path[Math.min(step, path.length - 1)];
        const { x, y, width, height } = boxes[source];
        return { id, x: x + across * width, y: y + down * height };
      });
    await touch("touchStart", at(0));
    for (let step = 1; step < Math.max(...paths.map((path) => path.length)); step += 1) {
      await page.waitForTimeout(60); // a hand takes its time, and the page waits for one that only taps
      await touch("touchMove", at(step));
    }
    await touch("touchEnd", []);
  };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Ask the test for something that only it can do, and wait until it is done. */
export async function ask(what) {
  console.log(`ask ${what}`);
  const { value } = await lines.next();
  assert.equal(value, "done");
}
