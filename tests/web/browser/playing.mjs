/** Scenarios of sound: to the sample, by every key, for an hour. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const playing = {
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

  async drag_over_the_times_loops_a_stretch({ drag, page, until, separate }) {
    await drag("vocals", 0.05, 0.45);
    await separate(1);
    const { x, y, width, height } = await page.locator(".ruler").boundingBox();
    const along = async (from, to) => {
      await page.mouse.move(x + from * width, y + height / 2);
      await page.mouse.down();
      await page.mouse.move(x + to * width, y + height / 2, { steps: 4 });
      await page.mouse.up();
      return page.evaluate(() => {
        const { loop, position, frames } = window.ugosa.player;
        const share = (frame) => Math.round((100 * frame) / frames) / 100;
        return loop ? [share(loop.start), share(loop.end), share(position)] : share(position);
      });
    };
    assert.equal(await along(0.5, 0.5), 0.5);
    assert.deepEqual(await along(0.8, 0.6), [0.6, 0.8, 0.5]);
    await page.keyboard.press("Space");
    await until(() => window.ugosa.player.position > 0.6 * window.ugosa.frames);
    await page.keyboard.press("["); // another mark that is chosen leaves it as it is
    assert.equal(await page.evaluate(() => Math.round((100 * window.ugosa.player.loop.start) / window.ugosa.frames)), 60);
    await page.keyboard.press("l");
    assert.equal(await page.evaluate(() => window.ugosa.player.loop), null);
  },

  async every_key_does_what_the_list_says({ drag, marks, click, page, until }) {
    const state = (read) => page.evaluate(read);
    const pressed = [];
    const press = (key) => {
      pressed.push(key === "Space" ? " " : key.split("+").pop().toLowerCase() || "+");
      return page.keyboard.press(key);
    };
    await press("r");
    await until(() => window.ugosa.playback.takes.length === 1);
    await drag("vocals", 0.05, 0.45);
    await press("r");
    await until(() => window.ugosa.playback.takes.length === 3 && window.ugosa.runs.all.length === 0);
    await press("Escape");
    await press("Space");
    await until(() => window.ugosa.player.isPlaying && window.ugosa.player.position > 0);
    await press("Space");
    assert.equal(await state(() => window.ugosa.player.isPlaying), false);
    await press("Home");
    assert.equal(await state(() => window.ugosa.player.position), 0);
    for (const [key, name] of [["a", "Without marks"], ["b", "Under your marks"], ["c", "Adapted"]]) {
      await press(key);
      assert.equal(await page.locator(".takes [aria-pressed=true]").textContent(), `${key.toUpperCase()} ${name}`);
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
    assert.equal(await state(() => window.ugosa.editor.source), "drums");
    await press("4");
    await press("]");
    await press("[");
    assert.equal(await state(() => window.ugosa.editor.selectedMark?.source), "vocals");
    const before = await state(() => window.ugosa.editor.selectedMark.start_frame);
    await press("ArrowRight");
    await press("Shift+ArrowRight");
    await press("ArrowLeft");
    assert.equal(await state(() => window.ugosa.editor.selectedMark.start_frame), before + 4410);
    const length = () => state(() => window.ugosa.editor.selectedMark.end_frame - window.ugosa.editor.selectedMark.start_frame);
    const whole = await length();
    await press("Alt+ArrowRight");
    await press("Alt+ArrowRight");
    await press("Alt+ArrowLeft");
    assert.equal(await length(), whole + 441);
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
    await page.evaluate(() => {
      window.ugosa.editor.suggest([{ source: "other", state: "silent", start_frame: 22050, end_frame: 66150, confidence: 0.93 }]);
      window.ugosa.editor.choose("other");
    });
    await press("]");
    await press("Enter");
    assert.ok((await marks()).some((mark) => mark.startsWith("other silent")));
    await press("?");
    assert.equal(await page.locator("#help").isVisible(), true);
    await press("Escape");
    assert.equal(await page.locator("#help").isVisible(), false);
    const unpressed = await page.evaluate(async (pressed) => {
      const { KEYS } = await import("/static/keys.js");
      return KEYS.filter(({ keys }) => !keys.some((key) => pressed.includes(key.toLowerCase()))).map(({ shown }) => shown);
    }, pressed);
    assert.deepEqual(unpressed, []);
    await click("mix", 0.5);
    assert.ok(Math.abs((await state(() => window.ugosa.player.position / window.ugosa.frames)) - 0.5) < 0.01);
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

  async sound_that_failed_once_is_asked_for_again({ page, until }) {
    await page.route("**/mix", (route) => route.fulfill({ status: 503 }), { times: 1 });
    await page.keyboard.press("Space");
    await page.getByText("the audio cannot be read (503)").waitFor();
    await page.keyboard.press("Space");
    await until(() => window.ugosa.player.position > 0);
  },

  async song_dropped_on_its_own_page_is_heard({ page, until }) {
    await page.evaluate(() => (location.hash = ""));
    await page.getByRole("link", { name: "earlier.wav" }).click();
    await until(() => window.ugosa.song?.can_be_heard === false); // it came from another machine
    const data = readFileSync(`${process.env.UGOSA_OUT}/earlier.wav`).toString("base64");
    await page.evaluate((data) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], "earlier.wav"));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
    }, data);
    await until(() => window.ugosa.song.can_be_heard);
  },
};
