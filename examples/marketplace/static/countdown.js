// Countdowns tick; everything else works without a script.
//
// The server's clock may be far ahead of this machine's, so each countdown is told how
// long is left and counts from the moment the page was there.
"use strict";

const began = performance.now();
const day = document.documentElement.dataset.days;
const countdowns = document.querySelectorAll("time[data-left]");

function tick() {
  const passed = (performance.now() - began) / 1000;
  for (const one of countdowns) {
    const left = Math.max(0, Math.round(one.dataset.left - passed));
    const clock = [left / 3600 % 24, left / 60 % 60, left % 60]
      .map((part) => String(Math.floor(part)).padStart(2, "0"))
      .join(":");
    const days = Math.floor(left / 86400);
    one.textContent = days ? `${days} ${day} ${clock}` : clock;
  }
}

if (countdowns.length) {
  tick();
  setInterval(tick, 1000);
}
