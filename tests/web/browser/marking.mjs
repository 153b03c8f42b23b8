/** Scenarios of marks on the page: drawn by mouse, keys and fingers, checked, suggested. */

import assert from "node:assert/strict";

export const marking = {
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

  async label_stays_within_its_mark({ drag, page, until }) {
    await drag("vocals", 0.1, 0.13);
    const right = (/** @type {string} */ part) =>
      document.querySelector(".lane[data-source=vocals] .plot > div").shadowRoot.querySelector(`[part~=${part}]`)?.getBoundingClientRect().right;
    await until(right, "region-content");
    assert.ok((await page.evaluate(right, "region-content")) <= (await page.evaluate(right, "mark")));
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

  async mark_drawn_while_the_page_comes_anew_stays({ drag, marks, page, until }) {
    await drag("vocals", 0.1, 0.3);
    await page.route(
      /\/api\/songs\/[^/]+$/,
      async (route) => {
        await drag("drums", 0.5, 0.7);
        await route.continue();
      },
      { times: 1 },
    );
    await page.evaluate(() => {
      window.before = window.ugosa;
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    });
    await until(() => window.ugosa !== window.before && window.ugosa.lanes);
    assert.deepEqual((await marks()).sort(), ["drums silent 0.50 0.70", "vocals silent 0.10 0.30"]);
  },

  async marks_of_a_file_are_there_and_one_is_drawn({ drag, marks, page }) {
    assert.deepEqual(await marks(), ["drums silent 0.20 0.50"]);
    await drag("vocals", 0.1, 0.5);
    await page.evaluate(() => window.ugosa.editor.save());
  },

  async marks_of_a_file_come_in_place_of_those_drawn_until_undone({ marks, page }) {
    assert.deepEqual(await marks(), ["drums silent 0.20 0.50"]);
    assert.match(await page.locator("#toast").innerText(), /Ctrl Z brings yours back/);
    await page.keyboard.press("Control+z");
    assert.deepEqual((await marks()).sort(), ["drums silent 0.20 0.50", "vocals silent 0.10 0.50"]);
    await page.evaluate(() => window.ugosa.editor.save());
    await page.reload();
    await page.waitForFunction(() => window.ugosa?.editor);
    assert.equal((await marks()).length, 2);
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

  async keys_are_about_no_mark_of_another_lane({ drag, marks, page }) {
    await drag("vocals", 0.2, 0.4);
    await page.keyboard.press("1");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Delete");
    assert.deepEqual(await marks(), ["vocals silent 0.20 0.40"]);
    assert.equal(await page.evaluate(() => Math.round(window.ugosa.player.position / window.ugosa.rate)), 1);
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
};
