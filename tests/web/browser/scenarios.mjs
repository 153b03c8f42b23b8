/** What a musician does on the page, and what must come of it: runs one scenario for tests/web/test_browser.py. */

import assert from "node:assert/strict";
import { access } from "./access.mjs";
import { playing } from "./playing.mjs";
import { marking } from "./marking.mjs";
import { openPage } from "./page.mjs";
import { separating } from "./separating.mjs";

const scenarios = { ...marking, ...separating, ...playing, ...access };

const [name, address] = process.argv.slice(2);
const hand = await openPage(address, name.startsWith("finger"));
try {
  await scenarios[name](hand);
  // A refused connection is what a restart looks like, axe styles what it measures, refusals are what is asked for,
  // wavesurfer.js would stop a finger that scrolls already, and a preview is gone once two newer ones are there.
  const usual = {
    restart_of_the_server_loses_no_event: "Failed to load",
    labels_and_contrast_pass_axe: "inline style",
    limit_and_format_reach_the_job_and_flac_plays: "Failed to load",
    sound_that_failed_once_is_asked_for_again: "Failed to load",
    wrong_key_and_foreign_pages_are_refused: "Failed to load",
    fingers_draw_move_and_remove_marks: "cancel a touchmove",
    what_is_learned_so_far_is_heard: "Failed to load",
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
