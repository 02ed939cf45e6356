"use strict";
// Tells on each page when a run is under way, and offers to load the page anew when figures changed.
const live = document.getElementById("live");
if (live && "EventSource" in window) {
  const events = new EventSource(live.dataset.url);
  let first = null;
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    if (first === null) first = state.release;
    live.textContent = state.text;
    live.setAttribute("role", "status");
    if (state.release !== first && !document.getElementById("anew")) {
      const link = document.createElement("a");
      link.id = "anew";
      link.href = "";
      link.textContent = "New figures were published: load this page anew";
      live.after(" ", link);
    }
  });
}
