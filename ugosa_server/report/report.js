"use strict";
// Plays the takes of a song: stem files beside the page where they are, else the excerpt inside of it. Every
// stem has a player of its own. Plain media elements stay together to a fraction of a millisecond once they
// have begun together; what needs the samples (Web Audio) may not read files beside a page that is a file.
(() => {
  const APART_S = 0.01; // players that are further apart, since the machine was busy, start once more
  const PATIENCE_S = 0.5; // before they do
  const LEAD_S = 0.2; // for another take to get ready while this one plays on
  const STEP_S = 1;
  const DRAG_PX = 5; // less is a click
  const LETTERS = "ABC";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { takes: given, sources, song_s: songS, start_s: startS, end_s: endS } = read("listening");
  const files = read("files");
  const room = document.querySelector(".listen");
  const lanes = room.querySelector(".lanes");
  const find = (kind) => [...room.querySelectorAll(kind)];
  const [playButton, loopButton] = [room.querySelector(".play"), room.querySelector(".loop")];
  const [takeButtons, soloButtons, muteButtons] = [find(".take"), find(".solo"), find(".mute")];
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const solo = new Set(), mute = new Set();
  let takes = [], take = null, at = startS, region = null, loops = false, wanted = false, request = 0, apartSince = null;

  /** One take: a player per stem, and the part of the song that they hold. */
  async function load({ kind, clips }, n) {
    const names = files[n === given.length - 1 ? "stems" : kind] ?? {};
    const paths = sources.map((source) => names[source]);
    const beside = paths.every(Boolean) && (await Promise.all(paths.map(player)));
    if (beside && beside.every(Boolean)) return { players: beside, from: 0, to: songS, offset: 0 };
    const inside = await Promise.all(clips.map(player));
    if (!inside.length || !inside.every(Boolean)) return { players: [], from: 0, to: 0, offset: 0 };
    return { players: inside, from: startS, to: endS, offset: startS };
  }

  /** A player that knows its length, or null. */
  function player(address) {
    const audio = new Audio();
    audio.preload = "auto"; // with less, no "canplay" would follow a seek
    return new Promise((resolve) => {
      audio.onloadedmetadata = () => resolve(audio);
      audio.onerror = () => resolve(null);
      audio.src = address.startsWith("data:") ? address : address.split("/").map(encodeURIComponent).join("/");
    });
  }

  const isPlaying = () => take.players.some((audio) => !audio.paused);
  const now = () => (isPlaying() ? take.players[0].currentTime + take.offset : at);
  const start = () => (region ? Math.max(region.from, take.from) : take.from);
  const end = () => (loops && region ? Math.min(region.to, take.to) : take.to);

  /** Set all players of a take to a place; resolves once they can play from there. */
  const seek = ({ players, offset }, place) =>
    Promise.all(
      players.map(async (audio) => {
        const there = new Promise((resolve) => audio.addEventListener("seeked", resolve, { once: true }));
        audio.currentTime = place - offset;
        await there;
        if (audio.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !audio.ended)
          await new Promise((resolve) => audio.addEventListener("canplay", resolve, { once: true }));
      }),
    );

  async function play(place = at) {
    const mine = ++request;
    if (!take.players.length) return;
    stop();
    wanted = true; // also while the players get ready
    at = place >= take.from && place < end() - 0.01 && !(loops && place < start()) ? place : start();
    request = mine;
    await seek(take, at);
    if (request !== mine) return;
    listen();
    await Promise.all(take.players.map((audio) => audio.play()));
    follow();
  }

  function stop() {
    request++;
    wanted = false;
    at = now();
    for (const audio of take.players) audio.pause();
    draw();
  }

  /** Go on with another take where this one is, without a gap while it plays. */
  async function choose(index) {
    const next = takes[index];
    if (!next?.players.length || next === take) return;
    const mine = ++request;
    const old = take;
    const meeting = now() + LEAD_S;
    const meets = isPlaying() && meeting >= next.from && meeting < next.to;
    if (meets) {
      await seek(next, meeting);
      while (request === mine && !old.players[0].paused && now() < meeting) await new Promise(requestAnimationFrame);
      if (request !== mine) return;
    }
    at = now();
    for (const audio of old.players) audio.pause();
    take = next;
    listen();
    if (meets) {
      await Promise.all(take.players.map((audio) => audio.play()));
      follow();
    } else {
      at = at >= take.from && at < take.to ? at : take.from;
      if (wanted) play();
    }
    draw();
  }

  /** Let those be heard that are to be. */
  function listen() {
    const isHeard = (n) => (solo.size ? solo.has(n) : !mute.has(n));
    takes.forEach(({ players }) => players.forEach((audio, n) => (audio.muted = !isHeard(n))));
    soloButtons.forEach((button, n) => button.setAttribute("aria-pressed", solo.has(n)));
    muteButtons.forEach((button, n) => button.setAttribute("aria-pressed", mute.has(n)));
    find(".lane.stem").forEach((lane, n) => lane.classList.toggle("unheard", !isHeard(n)));
  }

  function toggle(set, n) {
    if (n >= sources.length) return;
    if (!set.delete(n)) set.add(n);
    listen();
  }

  function follow() {
    draw();
    if (!isPlaying() && !take.players[0].ended) return;
    if (areApart()) return void play(now());
    if (now() >= end() || take.players[0].ended) {
      if (loops) return void play(start());
      stop();
      at = start();
      return draw();
    }
    requestAnimationFrame(follow);
  }

  /** Whether the players have been apart for a while. */
  function areApart() {
    const places = take.players.map((audio) => audio.currentTime);
    const isApart = Math.max(...places) - Math.min(...places) > APART_S;
    apartSince = isApart ? (apartSince ?? performance.now()) : null;
    if (!isApart || performance.now() - apartSince < 1000 * PATIENCE_S) return false;
    apartSince = null;
    return true;
  }

  function draw() {
    const share = (s) => `${(100 * s) / songS}%`;
    lanes.style.setProperty("--at", share(now()));
    lanes.style.setProperty("--from", share(region?.from ?? 0));
    lanes.style.setProperty("--span", share(region ? region.to - region.from : 0));
    playButton.setAttribute("aria-pressed", isPlaying());
    loopButton.setAttribute("aria-pressed", loops);
    takeButtons.forEach((button, n) => button.setAttribute("aria-pressed", takes[n] === take));
    room.querySelector(".time").textContent = `${clock(now())} / ${clock(songS)}`;
    room.classList.toggle("short", take.offset > 0 || take.to < songS);
  }

  function setRegion(from, to) {
    region = from < to ? { from, to } : null;
    loops = Boolean(region);
    if (region && (now() < from || now() >= to)) isPlaying() ? play(from) : (at = start());
    draw();
  }

  function drag(down) {
    const plot = down.target.closest(".lane-plot");
    if (!plot || down.button) return;
    down.preventDefault();
    const box = plot.getBoundingClientRect();
    const second = ({ clientX }) => (songS * Math.min(1, Math.max(0, (clientX - box.left) / box.width)));
    const isDrag = (event) => Math.abs(event.clientX - down.clientX) >= DRAG_PX;
    const moved = (event) => {
      if (!isDrag(event)) return;
      const [from, to] = [second(down), second(event)].sort((a, b) => a - b);
      region = { from, to };
      draw();
    };
    const up = (event) => {
      document.removeEventListener("pointermove", moved);
      if (isDrag(event)) return setRegion(region.from, region.to);
      go(second(event));
    };
    document.addEventListener("pointermove", moved);
    document.addEventListener("pointerup", up, { once: true });
  }

  function go(place) {
    const there = Math.min(Math.max(place, take.from), take.to);
    if (isPlaying()) return void play(there);
    at = there;
    draw();
  }

  const keys = {
    " ": () => (isPlaying() ? stop() : play()),
    l: () => loopButton.click(),
    ArrowLeft: () => go(now() - STEP_S),
    ArrowRight: () => go(now() + STEP_S),
    Home: () => go(start()),
    Escape: () => (solo.clear(), mute.clear(), listen(), setRegion(0, 0)),
  };

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target instanceof HTMLButtonElement) return; // its own key
    const digit = /^Digit([1-9])$/.exec(event.code);
    const letter = LETTERS.indexOf(event.key.toUpperCase());
    if (digit) toggle(event.shiftKey ? mute : solo, digit[1] - 1);
    else if (letter >= 0 && event.key.length === 1) choose(letter);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  }

  const words = ({ players, from, to }) =>
    !players.length ? "not here" : to - from >= songS ? "the whole song" : `${Math.round(to - from)} s from ${clock(from)}`;

  (async () => {
    takes = await Promise.all(given.map(load));
    take = takes.findLast(({ players }) => players.length) ?? takes.at(-1);
    at = take.from || (take.players.length ? startS : 0);
    takes.forEach((one, n) => {
      takeButtons[n].disabled = !one.players.length;
      takeButtons[n].querySelector("small").textContent = words(one);
      takeButtons[n].addEventListener("click", () => choose(n));
    });
    const isShort = takes.some(({ players, to }) => !players.length || to < songS);
    room.querySelector(takes.at(-1).to < songS ? ".hint.beside" : ".hint.more").hidden = !isShort;
    playButton.addEventListener("click", keys[" "]);
    loopButton.addEventListener("click", () => ((loops = !loops), draw()));
    soloButtons.forEach((button, n) => button.addEventListener("click", () => toggle(solo, n)));
    muteButtons.forEach((button, n) => button.addEventListener("click", () => toggle(mute, n)));
    lanes.addEventListener("pointerdown", drag);
    document.addEventListener("keydown", press);
    document.addEventListener("click", ({ detail }) => detail && document.activeElement.blur()); // keys stay free
    playButton.disabled = !take.players.length;
    room.classList.add("ready");
    listen();
    draw();
  })();
})();
