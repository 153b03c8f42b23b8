"use strict";
// Turns the excerpt's players into buttons that share one position. Without this script the browser's own
// players stay and work.
(() => {
  const room = document.querySelector(".room");
  if (!room) return;
  const songSeconds = Number(room.dataset.song);
  const startSeconds = Number(room.dataset.start);
  const playheads = document.querySelectorAll(".playhead");
  const slider = document.createElement("input");
  let current = null;

  const takes = [...room.querySelectorAll(".take")].map((cell) => {
    const audio = cell.querySelector("audio");
    const button = document.createElement("button");
    button.setAttribute("aria-label", audio.getAttribute("aria-label"));
    button.setAttribute("aria-pressed", "false");
    audio.controls = false;
    audio.hidden = true;
    audio.loop = true;
    const take = { audio, button };
    button.addEventListener("click", () => (current === take ? stop() : play(take)));
    cell.append(button);
    return take;
  });

  function play(take) {
    stop();
    current = take;
    take.audio.currentTime = Number(slider.value);
    take.button.setAttribute("aria-pressed", "true");
    document.body.classList.add("playing");
    take.audio.play();
    requestAnimationFrame(draw);
  }

  function stop() {
    if (!current) return;
    current.audio.pause();
    slider.value = current.audio.currentTime;
    current.button.setAttribute("aria-pressed", "false");
    document.body.classList.remove("playing");
    current = null;
  }

  function draw() {
    if (!current) return;
    const { currentTime, duration } = current.audio;
    slider.value = currentTime;
    current.button.style.setProperty("--position", currentTime / duration || 0);
    for (const playhead of playheads) playhead.style.left = `${(100 * (startSeconds + currentTime)) / songSeconds}%`;
    requestAnimationFrame(draw);
  }

  slider.type = "range";
  slider.min = slider.value = 0;
  slider.step = "any";
  slider.setAttribute("aria-label", "Position in the excerpt");
  const setLength = () => (slider.max = takes[0].audio.duration || 0);
  takes[0].audio.addEventListener("loadedmetadata", setLength);
  setLength();
  slider.addEventListener("input", () => {
    if (current) current.audio.currentTime = Number(slider.value);
  });
  room.append(slider);
})();
