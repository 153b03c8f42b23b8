/** What a musician does on the page, and what must come of it. Run by tests/web/test_browser.py. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { REBOUND, ask, openPage } from "./page.mjs";

const scenarios = {
  async drag_draws_silence_and_undo_takes_it_back({ drag, marks, page }) {
    await drag("vocals", 0.1, 0.5);
    assert.deepEqual(await marks(), ["vocals silent 0.10 0.50"]);
    await drag("drums", 0.2, 0.4, { key: "Shift" });
    assert.deepEqual(await marks(), ["vocals silent 0.10 0.50", "drums active 0.20 0.40"]);
    await drag("bass", 0.6, 0.8, { key: "Alt" });
    const only = ["bass active 0.60 0.80", "drums silent 0.60 0.80", "other silent 0.60 0.80", "vocals silent 0.60 0.80"];
    assert.deepEqual((await marks()).slice(2), only);
    for (const left of [2, 1, 0]) {
      await page.keyboard.press("Control+z");
      assert.equal((await marks()).length, left);
    }
    await page.keyboard.press("Control+Shift+z");
    await page.keyboard.press("Control+y");
    await page.keyboard.press("Control+y");
    assert.equal((await marks()).length, 6);
  },

  async edge_resizes_a_mark_and_middle_moves_it({ drag, marks, until }) {
    await drag("vocals", 0.2, 0.5);
    await drag("vocals", 0.4985, 0.7);
    assert.deepEqual(await marks(), ["vocals silent 0.20 0.70"]);
    await drag("vocals", 0.4, 0.5);
    assert.deepEqual(await marks(), ["vocals silent 0.30 0.80"]);
    const lengths = await (await until(() => window.ugosa.editor.marks.all.map((mark) => Number.isInteger(mark.start_frame)))).jsonValue();
    assert.deepEqual(lengths, [true]);
    await drag("vocals", 0.05, 0.4); // over it: two of one state are one
    assert.deepEqual(await marks(), ["vocals silent 0.05 0.80"]);
    await drag("vocals", 0.9, 0.95, { key: "Shift" });
    assert.deepEqual(await marks(), ["vocals silent 0.05 0.80", "vocals active 0.90 0.95"]);
  },

  async marks_are_there_again_after_a_reload({ drag, marks, page, until }) {
    await drag("vocals", 0.1, 0.5);
    const before = await marks();
    await page.evaluate(() => window.ugosa.editor.save());
    await page.reload();
    await until(() => window.ugosa?.editor?.marks?.all.length === 1);
    assert.deepEqual(await marks(), before);
    await until(() => window.ugosa.lanes && document.querySelector(".lane[data-source=vocals] .plot > div")?.shadowRoot?.querySelector("[part~=mark]"));
  },

  async finding_is_a_badge_on_its_mark({ drag, page, until }) {
    for (const source of ["drums", "bass", "other", "vocals"]) await drag(source, 0.3, 0.5);
    await until(() => window.ugosa.editor.findings.some((finding) => finding.code === "ALL_SILENT"));
    const badge = () =>
      document.querySelector(".lane[data-source=vocals] .plot > div")?.shadowRoot?.querySelector("[part~=badge-error]")?.title ?? "";
    await until(badge);
    assert.match(await page.evaluate(badge), /silent/);
    await page.keyboard.press("r"); // is refused here, before any job
    assert.equal(await page.evaluate(() => window.ugosa.runs.all.length + window.ugosa.jobs.length), 0);
    await page.keyboard.press("Control+z");
    await until(() => !window.ugosa.editor.findings.some((finding) => finding.severity === "error"));
  },

  async separation_gives_both_takes_and_its_zip({ drag, page, separate }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    assert.deepEqual(await page.evaluate(() => window.ugosa.playback.takes.map((take) => take.name)), ["Under your marks", "Adapted"]);
    for (const name of ["under your marks", "adapted"]) {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByText(`Stems, ${name} (zip)`).click(),
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
    await page.evaluate(() => window.ugosa.editor.save());
    await page.reload();
    await until(() => window.ugosa?.playback?.versions?.length === 2);
    assert.equal(await page.locator(".versions .star").nth(1).getAttribute("aria-pressed"), "true");
    await page.locator("button:has-text('Use marks')").nth(1).click();
    assert.equal(await page.evaluate(() => window.ugosa.editor.marks.all.length), 1);
  },

  async takes_switch_without_a_gap_or_a_shift({ drag, page, separate }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    // Stems of both takes add up to the same mix: whatever sounds through the switches must be that mix.
    const seen = await page.evaluate(async () => {
      const { Player } = await import("/static/player.js");
      const { WavFile } = await import("/static/wav.js");
      const { rate, frames, playback, song } = window.ugosa;
      const { takes } = playback;
      const context = new OfflineAudioContext(2, 4 * rate, rate);
      const player = new Player(() => context, rate, frames, () => {});
      player.setTakes(takes, takes[0].key);
      await player.play();
      await player.fill();
      let late = 0;
      for (let step = 1; step < 16; step += 1) {
        context.suspend(step / 4).then(async () => {
          await player.fill();
          const begin = Math.ceil(0.05 * rate);
          late = Math.max(late, Math.abs(player.position - Math.max(0, Math.round(context.currentTime * rate) - begin)));
          player.selectTake(takes[step % 2].key);
          context.resume();
        });
      }
      const sound = await context.startRendering();
      const mix = await new WavFile(`/api/songs/${song.upload_id}/mix`).read(0, 4 * rate);
      const begin = Math.ceil(0.05 * rate);
      let difference = 0;
      let loudest = 0;
      mix.forEach((samples, channel) => {
        const heard = sound.getChannelData(channel);
        for (let n = begin; n < heard.length; n += 1) {
          difference = Math.max(difference, Math.abs(heard[n] - samples[n - begin]));
          loudest = Math.max(loudest, Math.abs(heard[n]));
        }
      });
      return { difference, loudest, late_ms: (1000 * late) / rate };
    });
    assert.ok(seen.loudest > 0.05, `nothing sounds: ${JSON.stringify(seen)}`);
    assert.ok(seen.difference < 1e-4, `what sounds is not the mix: ${JSON.stringify(seen)}`);
    assert.ok(seen.late_ms < 5, `the position is wrong: ${JSON.stringify(seen)}`);
  },

  async solo_and_loop_are_sample_exact({ drag, page, separate }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    const seen = await page.evaluate(async () => {
      const { Player } = await import("/static/player.js");
      const { WavFile } = await import("/static/wav.js");
      const { rate, frames, playback } = window.ugosa;
      const { takes } = playback;
      const context = new OfflineAudioContext(2, 3 * rate, rate);
      const player = new Player(() => context, rate, frames, () => {});
      player.setTakes(takes, takes[1].key);
      player.setAudible(new Set(["bass"]));
      player.setLoop({ start: rate, end: rate + 30000 });
      await player.play();
      await player.fill();
      for (let step = 1; step < 12; step += 1) {
        context.suspend(step / 4).then(async () => {
          await player.fill();
          context.resume();
        });
      }
      const heard = (await context.startRendering()).getChannelData(0);
      const [bass] = await new WavFile(takes[1].stems.find((stem) => stem.source === "bass").address).read(rate, rate + 30000);
      const begin = Math.ceil(0.05 * rate);
      let difference = 0;
      for (let n = begin; n < heard.length; n += 1) {
        difference = Math.max(difference, Math.abs(heard[n] - bass[(n - begin) % 30000]));
      }
      return { difference, loudest: bass.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0) };
    });
    assert.ok(seen.loudest > 1e-3);
    assert.ok(seen.difference < 1e-4, JSON.stringify(seen));
  },

  async every_key_does_what_the_list_says({ drag, marks, click, page, separate, until }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    const state = (read) => page.evaluate(read);
    const press = (key) => page.keyboard.press(key);
    await press("Escape");
    await press("Space");
    await until(() => window.ugosa.player.isPlaying && window.ugosa.player.position > 0);
    await press("Space");
    assert.equal(await state(() => window.ugosa.player.isPlaying), false);
    await press("Home");
    assert.equal(await state(() => window.ugosa.player.position), 0);
    for (const [key, name] of [["a", "Under your marks"], ["b", "Adapted"]]) {
      await press(key);
      assert.equal(await page.locator(".takes [aria-pressed=true]").innerText(), `${key.toUpperCase()} ${name}`);
    }
    await press("2");
    assert.equal(await state(() => window.ugosa.editor.source), "bass");
    await press("s");
    assert.deepEqual(await state(() => [...window.ugosa.playback.solos]), ["bass"]);
    await press("s");
    await press("m");
    assert.deepEqual(await state(() => [...window.ugosa.playback.mutes]), ["bass"]);
    await press("m");
    await press("i"); // at 0:00
    await press("ArrowRight"); // a second
    await press("o");
    assert.match((await marks()).find((mark) => mark.startsWith("bass")), /^bass silent 0\.00 0\.17$/);
    await press("Escape");
    await press("i");
    await press("ArrowRight");
    await press("Shift+O");
    assert.ok((await marks()).some((mark) => mark === "bass active 0.17 0.33"));
    await press("Escape");
    await press("i");
    await press("ArrowRight");
    await press("Alt+o");
    assert.ok((await marks()).some((mark) => mark === "drums silent 0.33 0.50"));
    await press("Control+z");
    await press("1");
    await press("4");
    await press("]");
    assert.equal(await state(() => window.ugosa.editor.selectedMark?.source), "vocals");
    const before = await state(() => window.ugosa.editor.selectedMark.start_frame);
    await press("ArrowRight");
    await press("Shift+ArrowRight");
    await press("ArrowLeft");
    assert.equal(await state(() => window.ugosa.editor.selectedMark.start_frame), before + 4410);
    await press("t");
    assert.equal(await state(() => window.ugosa.editor.selectedMark.state), "active");
    await press("l");
    assert.equal(await state(() => window.ugosa.player.loop.start === window.ugosa.editor.selectedMark.start_frame), true);
    await press("l");
    assert.equal(await state(() => window.ugosa.player.loop), null);
    const fit = await state(() => window.ugosa.lanes.pxPerS);
    await press("z");
    assert.ok((await state(() => window.ugosa.lanes.pxPerS)) > fit * 1.2);
    await press("z");
    assert.equal(await state(() => window.ugosa.lanes.pxPerS), fit);
    await press("+");
    assert.ok((await state(() => window.ugosa.lanes.pxPerS)) > fit);
    await press("-");
    const count = (await marks()).length;
    await press("Delete");
    assert.equal((await marks()).length, count - 1);
    await press("?");
    assert.equal(await page.locator("#help").isVisible(), true);
    await press("Escape");
    assert.equal(await page.locator("#help").isVisible(), false);
    await click("mix", 0.5);
    assert.ok(Math.abs((await state(() => window.ugosa.player.position / window.ugosa.frames)) - 0.5) < 0.01);
  },

  async suggestion_is_accepted_by_enter({ page, until, marks }) {
    await page.locator("button:has-text('Suggest marks')").click();
    await until(() => document.getElementById("toast").textContent.includes("suggest"));
    // The tiny network of the tests may suggest nothing: then one is put beside it, as the server would send it.
    await page.evaluate(() => {
      const { editor } = window.ugosa;
      if (!editor.suggestions.length) editor.suggestions.push({ source: "bass", state: "silent", start_frame: 22050, end_frame: 66150, confidence: 0.93 });
      editor.choose(editor.suggestions[0].source);
    });
    const count = await page.evaluate(() => window.ugosa.editor.suggestions.length);
    await page.keyboard.press("]");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => window.ugosa.editor.suggestions.length), count - 1);
    assert.equal((await marks()).length, 1);
    await page.keyboard.press("Control+z");
    assert.equal((await marks()).length, 0);
  },

  async keyboard_alone_marks_and_separates({ page, marks, until }) {
    await page.keyboard.press("3");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("i");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("o");
    assert.deepEqual(await marks(), ["other silent 0.17 0.33"]);
    const focused = () => {
      let active = document.activeElement;
      while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
      return active?.getAttribute("aria-label") ?? active?.textContent ?? "";
    };
    const seen = [];
    for (let n = 0; n < 60 && !seen.includes("Separate"); n += 1) {
      await page.keyboard.press("Tab");
      seen.push(await page.evaluate(focused));
    }
    assert.ok(seen.some((label) => label.startsWith("other silent 0:01.0 to 0:02.0")), seen.join(" | "));
    assert.ok(seen.includes("Solo drums (S)") || seen.includes("Play (Space)"), seen.join(" | "));
    assert.ok(seen.includes("Separate"), seen.join(" | "));
    await page.keyboard.press("Enter");
    await until(() => window.ugosa.playback.versions.length === 1 && window.ugosa.runs.all.length === 0);
  },

  async fingers_draw_move_and_remove_marks({ fingers, marks, page, until }) {
    await fingers([["vocals", 0.2, 0.5], ["vocals", 0.3, 0.5], ["vocals", 0.45, 0.5], ["vocals", 0.5, 0.5]]);
    assert.deepEqual(await marks(), ["vocals silent 0.20 0.50"]);
    await fingers([["vocals", 0.35, 0.5], ["vocals", 0.4, 0.5], ["vocals", 0.45, 0.5], ["vocals", 0.55, 0.5]]);
    assert.deepEqual(await marks(), ["vocals silent 0.40 0.70"]);
    await fingers([["vocals", 0.697, 0.5], ["vocals", 0.72, 0.5], ["vocals", 0.76, 0.5], ["vocals", 0.797, 0.5]]);
    assert.deepEqual(await marks(), ["vocals silent 0.40 0.80"]);
    await page.getByText("Only this", { exact: true }).tap();
    await fingers([["drums", 0.1, 0.5], ["drums", 0.15, 0.5], ["drums", 0.25, 0.5], ["drums", 0.3, 0.5]]);
    assert.equal((await marks()).length, 5);
    await page.getByRole("button", { name: "Remove" }).tap();
    assert.equal((await marks()).length, 4);
    await page.getByRole("button", { name: "Undo (Ctrl Z)" }).tap();
    assert.equal((await marks()).length, 5);
    // Two fingers zoom, one on the mix scrolls, and one that goes up is the page's own.
    const state = () => page.evaluate(() => ({ px: window.ugosa.lanes.pxPerS, scroll: window.ugosa.lanes.mix.scroll }));
    const before = await state();
    await fingers([["bass", 0.45, 0.5], ["bass", 0.4, 0.5], ["bass", 0.3, 0.5]], [["bass", 0.55, 0.5], ["bass", 0.6, 0.5], ["bass", 0.7, 0.5]]);
    const zoomed = await state();
    assert.ok(Math.abs(zoomed.px / before.px - 4) < 0.3, JSON.stringify([before, zoomed]));
    await fingers([["mix", 0.8, 0.5], ["mix", 0.6, 0.5], ["mix", 0.4, 0.5], ["mix", 0.2, 0.5]]);
    await until((scroll) => window.ugosa.lanes.mix.scroll > scroll + 100, zoomed.scroll);
    await fingers([["other", 0.5, 0.9], ["other", 0.5, 0.1], ["bass", 0.5, 0.5], ["drums", 0.5, 0.5]]);
    assert.equal((await marks()).length, 5);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 1024, "the page is wider than the tablet");
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

  async limit_and_format_reach_the_job_and_flac_plays({ drag, page, until }) {
    await drag("vocals", 0, 0.6);
    await page.locator("#budget").fill("20");
    await page.locator("#format").selectOption("flac-pcm24");
    await page.locator("button:has-text('Separate')").click();
    await until(() => window.ugosa.runs.all.some((run) => run.leakage.length > 0));
    assert.match(await page.locator(".runs").innerText(), /Leakage [−+]\d+\.\d dB on silence it has not seen/);
    await until(() => window.ugosa.runs.all.length === 0 && window.ugosa.playback.takes.length === 2);
    const { options, stems } = await page.evaluate(() => window.ugosa.playback.versions[0].adapted);
    assert.equal(options.max_s, 20);
    assert.ok(stems.every((stem) => stem.encoding === "flac-pcm24"));
    await page.keyboard.press("Space");
    await until(() => window.ugosa.player.position > 0.5 * window.ugosa.rate);
    await until(() => document.querySelectorAll(".lane.borrowed").length === 0);
  },

  async restart_of_the_server_loses_no_event({ drag, page, until }) {
    await drag("vocals", 0.05, 0.45);
    await page.keyboard.press("r");
    await until(() => window.ugosa.runs.all.some((run) => run.text.startsWith("learns")));
    await ask("restart");
    await until(() => window.ugosa.runs.all.length === 0 && window.ugosa.playback.takes.length === 2);
    assert.equal(await page.evaluate(() => window.ugosa.playback.versions[0].adapted.state), "succeeded");
  },

  async labels_and_contrast_pass_axe({ drag, page, separate }) {
    const axe = process.env.UGOSA_NODE_MODULES + "/axe-core/axe.min.js";
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    const { readFileSync } = await import("node:fs");
    const source = readFileSync(axe, "utf8");
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(source);
      const { violations } = await page.evaluate(() => window.axe.run());
      const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 150)} ${node.failureSummary}`).join("; ")}`);
      assert.deepEqual(told, [], colorScheme);
    }
  },

  async hour_of_song_scrolls_and_plays_in_bounded_memory({ page, until }) {
    const heap = () => page.evaluate(() => performance.memory.usedJSHeapSize / 1e6);
    await page.evaluate(() => window.ugosa.lanes.zoom(400, 3000 * window.ugosa.rate));
    for (let minute = 0; minute < 60; minute += 5) {
      await page.evaluate((frame) => window.ugosa.lanes.showPosition(frame * window.ugosa.rate, true), minute * 60);
    }
    const before = await heap();
    for (const minute of [3, 31, 59]) {
      await page.evaluate((second) => window.ugosa.player.seek(second * window.ugosa.rate), minute * 60);
      await page.keyboard.press("Space");
      await until((second) => window.ugosa.player.position > (second + 2) * window.ugosa.rate, minute * 60);
      await page.keyboard.press("Space");
    }
    assert.ok((await heap()) < before + 60, `${before} MB became ${await heap()} MB`);
    assert.ok((await heap()) < 200, `${await heap()} MB`);
  },
};

const [name, address] = process.argv.slice(2);
const hand = await openPage(address, name.startsWith("finger"));
try {
  await scenarios[name](hand);
  // A refused connection is what a restart looks like, axe styles what it measures, refusals are what is asked for, and
  // wavesurfer.js would stop a finger that scrolls already.
  const usual = {
    restart_of_the_server_loses_no_event: "Failed to load",
    labels_and_contrast_pass_axe: "inline style",
    wrong_key_and_foreign_pages_are_refused: "Failed to load",
    fingers_draw_move_and_remove_marks: "cancel a touchmove",
  }[name];
  const real = hand.troubles.filter((text) => usual === undefined || !text.includes(usual));
  assert.deepEqual(real, [], "the console has errors");
} catch (error) {
  if (process.env.UGOSA_OUT) await hand.page.screenshot({ path: `${process.env.UGOSA_OUT}/failed.png` });
  throw error;
} finally {
  await hand.browser.close();
}
process.exit(0);
