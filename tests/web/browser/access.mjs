/** Scenarios of who gets in, and for whom the page can be used. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { REBOUND } from "./page.mjs";

export const access = {
  async text_grows_with_the_browser({ page }) {
    const sizes = () =>
      page.evaluate(() => ["body", "button.primary", ".lane-name", "kbd"].map((one) => parseFloat(getComputedStyle(document.querySelector(one)).fontSize)));
    const before = await sizes();
    await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
    assert.deepEqual(await sizes(), before.map((size) => 2 * size));
  },

  async wrong_key_and_foreign_pages_are_refused({ browser, context, page }) {
    const here = new URL(page.url());
    const status = async (tab, address) => (await tab.goto(address)).status();
    const stranger = await (await browser.newContext()).newPage();
    assert.equal(await status(stranger, `${here.origin}/?key=wrong`), 403);
    assert.equal(await status(stranger, `${here.origin}/api/songs`), 401);
    assert.equal(await status(stranger, `http://${REBOUND}:${here.port}/`), 421);
    // Even in the browser that has the cookie: a page of another port of this machine is same-site.
    const foreign = createServer((request, answer) => answer.setHeader("content-type", "text/html").end("<p>foreign</p>")).listen(0, "127.0.0.1");
    await new Promise((resolve) => foreign.once("listening", resolve));
    const tab = await context.newPage();
    await tab.goto(`http://127.0.0.1:${foreign.address().port}/`);
    const songs = () => page.evaluate(async () => (await (await fetch("/api/songs")).json()).length);
    const before = await songs();
    const seen = await tab.evaluate(async (origin) => {
      const call = (path, options) => fetch(origin + path, { credentials: "include", ...options }).then((answer) => answer.type, () => "failed");
      const picture = new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve("shown");
        image.onerror = () => resolve("failed");
        image.src = `${origin}/static/icon.svg`;
      });
      return [
        await call("/api/songs"),
        await call("/api/jobs", { method: "POST", mode: "no-cors", body: "{}" }),
        await call("/api/songs?name=x", { method: "PUT", body: "x" }),
        await picture,
      ];
    }, here.origin);
    assert.deepEqual(seen, ["failed", "failed", "failed", "failed"]);
    assert.equal(await songs(), before);
    assert.equal(await status(tab, `http://${REBOUND}:${here.port}/api/songs`), 421);
    foreign.close();
  },

  async labels_and_contrast_pass_axe({ drag, page, separate }) {
    const axe = process.env.UGOSA_NODE_MODULES + "/axe-core/axe.min.js";
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    const { readFileSync } = await import("node:fs");
    const source = readFileSync(axe, "utf8");
    await page.evaluate(source);
    const check = async (screen) => {
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        const { violations } = await page.evaluate(() => window.axe.run());
        const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 150)} ${node.failureSummary}`).join("; ")}`);
        assert.deepEqual(told, [], `${screen}, ${colorScheme}`);
      }
    };
    await check("a song");
    await page.keyboard.press("?");
    await check("keys");
    await page.keyboard.press("Escape");
    await page.evaluate(() => (location.hash = ""));
    await page.locator(".drop").waitFor();
    await check("songs");
  },
};
