// The page: frames come as server-sent events, buttons and keys go back. Nothing here decides anything.

import { ask, find, make, say, tell } from "./dom.js";
import { drawFaults, drawLanes, drawTour } from "./lanes.js";
import { drawRows } from "./rows.js";
import { drawTimeline, openTimeline } from "./timeline.js";
import { choose, chosenRow, drawWhy } from "./why.js";

let frame = null;
let past = null;
let announced = 0;
let refused = "";
const byKey = new Map();

function draw() {
  if (!frame) return;
  drawLanes(frame);
  drawFaults(frame);
  drawTour(frame);
  drawTimeline(frame);
  drawRows(frame, chosenRow(), past, chosen);
  drawWhy(frame);
  drawNamespaces();
  announce();
}

/** One sentence for each thing that happens, for eyes and screen readers alike. */
function announce() {
  const last = frame.score.log.at(-1);
  if (refused) {
    say(find("note"), refused);
  } else if (last && last.healed && last.number !== announced) {
    announced = last.number;
    say(find("note"), `${capital(last.what)}: ours healed in ${last.healed_in.toFixed(3)} s; the twin has ${frame.score.twin.wrong} wrong.`);
  } else if (!last || last.number !== announced) {
    say(find("note"), frame.note ? `${capital(frame.note)}.` : "");
  }
}

/** A sentence begins with a capital, the name of a controller does not. */
function capital(text) {
  return /^\S*-\S*/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
}

function drawNamespaces() {
  const select = find("target-namespace");
  const names = frame.namespaces.filter((row) => row.ours).map((row) => row.name);
  if (select.dataset.names === names.join() || select === document.activeElement) return;
  select.dataset.names = names.join();
  const before = select.value;
  select.replaceChildren(make("option", { value: "" }, "any"), ...names.map((name) => make("option", { value: name }, name)));
  select.value = names.includes(before) ? before : "";
}

function chosen(side, name) {
  choose(side, name);
  draw();
}

async function act(action) {
  const target = { controller: find("target-controller").value, namespace: find("target-namespace").value }[action.target] ?? "";
  await attempt(() => tell("act", { name: action.name, target }));
}

async function attempt(work) {
  try {
    refused = "";
    await work();
  } catch (error) {
    refused = capital(error.message);
    announced = 0;
    say(find("note"), refused);
  }
}

function onKey(event) {
  if (!find("keys").checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, input:not([type=checkbox])")) return;
  const action = byKey.get(event.key);
  if (action) {
    event.preventDefault();
    action();
  }
}

async function open() {
  const about = await ask("about");
  for (const action of about.actions) {
    const button = make("button", { type: "button", id: `do-${action.name}`, title: action.what, "aria-keyshortcuts": action.key }, action.title, make("kbd", { "aria-hidden": "true" }, action.key));
    button.addEventListener("click", () => act(action));
    find("buttons").append(button);
    byKey.set(action.key, () => act(action));
  }
  find("target-controller").append(
    make("option", { value: "" }, "the one that signs"),
    ...Object.keys(about.controllers).map((name) => make("option", { value: name }, name)),
  );
  const start = () => attempt(() => tell("tour", { do: "start" }));
  find("tour-start").addEventListener("click", start);
  byKey.set("t", start);
  const next = () => attempt(() => tell("tour", { do: "next" }));
  find("tour-next").addEventListener("click", next);
  byKey.set(" ", () => {
    const focused = document.activeElement;
    if (focused?.tagName === "BUTTON") focused.click();
    else if (frame?.tour) next();
  });
  find("tour-stop").addEventListener("click", () => attempt(() => tell("tour", { do: "stop" })));
  document.addEventListener("keydown", onKey);
  openTimeline((looking) => {
    past = looking;
    draw();
  });
  const events = new EventSource("events");
  events.addEventListener("message", (message) => {
    frame = JSON.parse(message.data);
    say(find("connection"), "");
    draw();
  });
  events.addEventListener("error", () => say(find("connection"), "The connection to the demo is lost."));
}

open();
