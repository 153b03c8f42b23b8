/** Scenarios of jobs of the page: takes, files, versions, limits, a server that restarts. */

import assert from "node:assert/strict";
import { ask } from "./page.mjs";

/** Whether the job has ended well, be it that learning helped or not. */
const hasSucceeded = () => window.ugosa.runs.all.length === 0 && window.ugosa.playback.versions[0]?.job.state === "succeeded";

export const separating = {
  async separation_gives_both_takes_and_its_zip({ drag, page, separate }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    assert.deepEqual(await page.evaluate(() => window.ugosa.playback.takes.map((take) => take.name)), ["Under your marks", "Adapted"]);
    for (const name of ["under your marks", "adapted"]) {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByLabel(`Stems, ${name}, as zip`).click(),
      ]);
      await download.saveAs(`${process.env.UGOSA_OUT}/${name}.zip`);
    }
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.locator("button:has-text('Save marks')").click(),
    ]);
    await download.saveAs(`${process.env.UGOSA_OUT}/marks.txt`);
  },

  async changed_mark_gives_a_second_version({ drag, page, separate, until }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    await drag("drums", 0.6, 0.8);
    await separate(2);
    const changes = await page.locator(".versions tbody tr td:nth-child(3)").allTextContents();
    assert.match(changes[0], /^\+ drums silent/);
    assert.match(changes[1], /^\+ vocals silent/);
    await page.locator(".versions input[type=checkbox]").nth(1).check();
    assert.deepEqual(await page.evaluate(() => window.ugosa.playback.takes.map((take) => take.name)), ["Version 2", "Version 1"]);
    await page.locator(".versions .star").nth(1).click();
    await until(() => window.ugosa.playback.versions[1].job.starred);
    await page.reload();
    await until(() => window.ugosa?.playback?.versions?.length === 2);
    assert.equal(await page.locator(".versions .star").nth(1).getAttribute("aria-pressed"), "true");
    await page.locator("button:has-text('Use marks')").nth(1).click();
    assert.equal(await page.evaluate(() => window.ugosa.editor.marks.all.length), 1);
    await page.setViewportSize({ width: 390, height: 844 }); // of a phone: what is pressed next comes first
    const [button, versions] = await Promise.all([".side .primary", ".versions"].map((name) => page.locator(name).boundingBox()));
    assert.ok(button.y < versions.y);
    assert.ok(await page.locator(".versions").evaluate((box) => box.scrollWidth <= box.clientWidth));
  },

  async slow_answer_is_waited_for_and_asked_once({ drag, page, until }) {
    await drag("vocals", 0.1, 0.5);
    let asked = 0;
    await page.route("**/api/jobs", async (route) => {
      asked += 1;
      await until(() => document.getElementById("toast").textContent.includes("waiting for the server"));
      await route.continue();
    });
    await page.locator("button.primary", { hasText: "Separate" }).dblclick();
    await page.keyboard.press("r");
    await until(() => window.ugosa.playback.versions.length && !window.ugosa.runs.all.length);
    assert.equal(asked, 1);
    assert.equal(await page.locator("#toast.shown", { hasText: "waiting" }).count(), 0);
    await page.keyboard.press("r"); // once it has ended, the server says that its stems are there
    await until(() => document.getElementById("toast").textContent.includes("there already"));
    assert.equal(asked, 2);
  },

  async job_goes_on_from_the_last_or_starts_fresh({ drag, page, separate }) {
    await drag("vocals", 0.05, 0.45);
    const fresh = page.getByLabel("Start fresh");
    assert.equal(await fresh.isVisible(), false);
    await separate(1);
    await drag("drums", 0.6, 0.8);
    await separate(2);
    await fresh.check();
    await drag("bass", 0.6, 0.8);
    await separate(3);
    const starts = await page.evaluate(() => window.ugosa.playback.versions.map(({ started_from: number, job }) => [number, job.options.start_from]));
    assert.deepEqual(starts.map(([number]) => number), [null, 1, null]);
    assert.equal(starts[0][1], "none");
    const changed = await page.locator(".versions tbody tr td:nth-child(3)").allInnerTexts();
    assert.match(changed[1], /went on from version 1/);
    assert.doesNotMatch(changed.join(), /job-/);
  },

  async limit_and_format_reach_the_job_and_flac_plays({ drag, page, until }) {
    await drag("vocals", 0, 0.6);
    await page.locator("#budget").fill("-20");
    await page.locator("button:has-text('Separate')").click();
    await until(() => document.getElementById("toast").textContent.includes("max_seconds is -20"));
    await page.locator("#budget").fill("20");
    await page.locator("#format").selectOption("flac-pcm24");
    await page.locator("button:has-text('Separate')").click();
    await until(() => /Leakage [−+]\d+\.\d dB in held-back silence/.test(document.querySelector(".runs").innerText));
    await until(hasSucceeded);
    const { options, stems } = await page.evaluate(() => window.ugosa.playback.versions[0].job);
    assert.equal(options.max_s, 20);
    assert.ok(stems.every((stem) => stem.encoding === "flac-pcm24"));
    await page.keyboard.press("Space");
    await until(() => window.ugosa.player.position > 0.5 * window.ugosa.rate);
    await until(() => document.querySelectorAll(".lane.borrowed").length === 0);
  },

  async base_is_heard_early_and_what_is_learned_is_taken({ drag, learnForLong, page, until }) {
    await learnForLong();
    await drag("vocals", 0.05, 0.45);
    await page.keyboard.press("r");
    await until(() => window.ugosa.playback.takes[0]?.name === "Under your marks" && window.ugosa.runs.all.length === 1);
    await page.keyboard.press("Space");
    await until(() => window.ugosa.player.position > 0);
    await page.getByRole("button", { name: "Take it now" }).click();
    await until(hasSucceeded);
    assert.ok(await page.evaluate(() => window.ugosa.playback.versions[0].job.accepted));
    assert.equal(await page.locator(".takes [aria-pressed=true]").textContent(), "A Under your marks"); // what plays goes on
  },

  async what_is_learned_so_far_is_heard({ drag, learnForLong, page, until }) {
    await learnForLong();
    await drag("vocals", 0.2, 0.45);
    await page.keyboard.press("r");
    await until(() => window.ugosa.runs.all[0]?.preview);
    // Stems of the preview, and those that are there already around it, add up to the mix at every frame.
    const seen = await page.evaluate(async () => {
      const { Player } = await import("/static/player.js");
      const { WavFile } = await import("/static/wav.js");
      const { rate, frames, playback, song } = window.ugosa;
      const take = playback.takes.find(({ span }) => span);
      const { start, end } = take.span;
      const context = new OfflineAudioContext(2, 4 * rate, rate);
      const player = new Player(() => context, rate, frames, () => {});
      player.setTakes([take], take.key);
      player.seek(start - rate);
      await player.play();
      for (let second = 1; second < 4; second += 1) context.suspend(second).then(() => player.fill().then(() => context.resume()));
      await player.fill();
      const heard = (await context.startRendering()).getChannelData(0);
      const [mix] = await new WavFile(`/api/songs/${song.upload_id}/mix`).read(start - rate, start + 3 * rate);
      const largest = (one, other) => one.reduce((most, sample, n) => Math.max(most, Math.abs(sample - other[n])), 0);
      const begin = Math.ceil(0.05 * rate);
      const { source, part, address } = take.stems[3];
      const [learned] = await new WavFile(part.address).read(0, rate);
      const [base] = await new WavFile(address).read(start, start + rate);
      return {
        stretch: [start / frames, end / frames],
        difference: largest(heard.subarray(begin), mix),
        source,
        learned: largest(learned, base),
      };
    });
    assert.ok(seen.stretch[0] < 0.2 && seen.stretch[1] > 0.2, JSON.stringify(seen)); // it begins before the mark
    assert.ok(seen.difference < 1e-4, JSON.stringify(seen));
    assert.ok(seen.source === "vocals" && seen.learned > 1e-4, JSON.stringify(seen));
    await page.getByRole("button", { name: /^Hear/ }).click();
    await until(() => window.ugosa.player.position > window.ugosa.player.loop.start);
    assert.equal(await page.locator(".takes [aria-pressed=true]").textContent(), "B So far");
    const step = await page.evaluate(() => window.ugosa.runs.all[0]?.preview.step);
    await until((before) => window.ugosa.runs.all[0]?.preview.step !== before, step); // newer weights, or all there is
    assert.equal(await page.evaluate(() => window.ugosa.player.isPlaying), true); // and it sounds on
    await page.evaluate(async () => {
      const [run] = window.ugosa.runs.all;
      if (run) await fetch(`/api/jobs/${run.job.job_id}/accept`, { method: "POST" });
    });
    await until(hasSucceeded);
    const best = await page.evaluate(() => `${"AB"[window.ugosa.playback.takes.length - 1]} ${window.ugosa.playback.takes.at(-1).name}`);
    assert.equal(await page.locator(".takes [aria-pressed=true]").textContent(), best);
    assert.equal(await page.evaluate(() => window.ugosa.player.loop), null);
  },

  async older_answer_takes_no_version_back({ drag, page, until }) {
    await drag("vocals", 0.05, 0.45);
    let asked = 0;
    await page.route(/\/api\/songs\/[^/]+$/, async (route) => {
      asked += 1;
      const isFirst = asked === 1;
      const response = await route.fetch();
      if (isFirst) await until(hasSucceeded); // which a later answer has told
      await route.fulfill({ response });
    });
    await page.evaluate(() => window.ugosa.separate()); // to the end of the first answer
    assert.ok(asked > 1);
    assert.ok(await page.evaluate(hasSucceeded));
  },

  async restart_of_the_server_loses_no_event({ drag, learnForLong, page, until }) {
    await learnForLong();
    await drag("vocals", 0.05, 0.45);
    await page.route("**/events*", (route) => route.fulfill({ status: 503 }), { times: 1 }); // as while no server answers
    await page.keyboard.press("r");
    await until(() => window.ugosa.runs.all.some((run) => run.text === "waits for the server"));
    await until(() => window.ugosa.runs.all.some((run) => run.text.startsWith("learns")));
    await ask("restart");
    await page.evaluate(() => fetch(`/api/jobs/${window.ugosa.runs.all[0].job.job_id}/accept`, { method: "POST" }));
    await until(hasSucceeded);
  },
};
