// The timeline: revisions that can be gone back to, and the difference of any two.

import { ask, find, keyed, make, put, say } from "./dom.js";

const state = { side: "ours", live: true, mark: null, at: 0, asked: "", around: [] };
const SHOWN = 8; // changes in the list, those around the revision while somebody looks back
const FAR = 1000; // changes that the server tells at once
let changed = () => {};

export function openTimeline(onChange) {
  changed = onChange;
  find("time").addEventListener("input", () => goTo(Number(find("time").value)));
  find("time-live").addEventListener("click", () => {
    state.live = true;
    state.asked = "";
    changed(null);
  });
  find("time-mark").addEventListener("click", () => {
    state.mark = state.mark === null ? state.at : null;
    state.asked = "";
    say(find("time-marked"), state.mark === null ? "" : `compared with +${state.mark}`);
    say(find("time-mark"), state.mark === null ? "Set mark" : "Remove mark");
    refresh();
  });
  find("time-side").addEventListener("change", () => {
    Object.assign(state, { side: find("time-side").value, live: true, mark: null, asked: "" });
    say(find("time-marked"), "");
    say(find("time-mark"), "Set mark");
    changed(null);
  });
}

function goTo(revision) {
  Object.assign(state, { live: false, at: revision });
  refresh();
}

export function drawTimeline(frame) {
  const line = frame.timeline[state.side];
  const slider = find("time");
  if (state.live) state.at = line.last;
  else state.at = Math.max(state.at, line.first);
  slider.min = line.first;
  slider.max = line.last;
  slider.value = state.at;
  slider.setAttribute("aria-valuetext", `revision ${state.at} of ${line.last}`);
  say(find("time-value"), `+${state.at}`);
  find("time-live").setAttribute("aria-pressed", String(state.live));
  keyed(
    find("changes"),
    (state.live ? line.changes.slice(-SHOWN) : state.around).toReversed(),
    (change) => change.revision,
    (change) => {
      const button = make(
        "button",
        { type: "button", "aria-label": `Go to revision ${change.revision}: ${change.type} ${change.resource} ${change.key} by ${change.by || "somebody"}` },
        make("span", {}, `+${change.revision}`),
        make("span", { class: change.type }, change.type),
        make("span", {}, `${change.resource} ${change.key}`),
        make("span", { class: "quiet" }, change.by.replace("-controller", "")),
      );
      button.addEventListener("click", () => goTo(change.revision));
      return make("li", {}, button);
    },
    (item, change) => item.firstElementChild.classList.toggle("at", !state.live && change.revision === state.at),
  );
  if (state.live) refresh();
}

/** Asks for the world of the revision, and what is different, once for each question. */
async function refresh() {
  const { side, at, live, mark } = state;
  const one = mark ?? Math.max(0, at - 1);
  const question = `${side} ${at} ${one} ${live}`;
  if (state.asked === question) return;
  state.asked = question;
  try {
    const [difference, views, later] = await Promise.all([
      ask("difference", { side, one, other: at }),
      live ? null : ask("at", { side, revision: at }),
      live ? null : ask("timeline", { side, after: Math.max(0, at - SHOWN / 2), limit: FAR }),
    ]);
    if (state.asked !== question) return;
    say(find("time-value"), `+${at}`);
    say(find("difference-title"), `Difference from +${one} to +${at}`);
    put(find("difference"), ...difference.flatMap(told), difference.length ? null : make("p", { class: "quiet" }, "Nothing."));
    state.around = live ? [] : later.changes.slice(0, SHOWN);
    changed(live ? null : { side, revision: at, views });
  } catch (error) {
    state.asked = "";
  }
}

function told(found) {
  const title = make("h4", {}, make("span", { class: found.type }, found.type), ` ${found.resource} ${found.key}`);
  const fields = found.fields.map((field) =>
    make(
      "p",
      {},
      `${field.path} `,
      field.before === null ? null : make("del", {}, field.before || "empty"),
      field.before === null || field.after === null ? null : " → ",
      field.after === null ? null : make("ins", {}, field.after || "empty"),
    ),
  );
  return [title, ...fields];
}
