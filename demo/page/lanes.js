// The lanes: what each controller is about.

import { find, keyed, make, put, say } from "./dom.js";

const SHORT = {
  "serviceaccount-controller": "accounts",
  "serviceaccount-token-controller": "tokens",
  "root-ca-publisher": "root CA",
  "namespace-controller": "namespaces",
  "garbage-collector-controller": "garbage",
};

function create() {
  return make(
    "li",
    { class: "lane" },
    make("p", { class: "name" }),
    make("div", { class: "state" }, make("span", { class: "pill" }), make("span", { class: "queue" })),
    make("div", { class: "bar" }, make("i")),
    make("p", { class: "work" }),
    make("p", { class: "back" }),
  );
}

function draw(lane, told) {
  const [name, state, bar, work, back] = lane.children;
  say(name, SHORT[told.name] ?? told.name);
  lane.title = `${told.name}: ${told.what}`;
  lane.classList.toggle("down", !["running", "starting"].includes(told.status));
  say(state.children[0], told.status);
  if (told.handled !== undefined) {
    say(state.children[1], `${told.handled} events handled`);
    say(work, `${told.lost} writes failed and were forgotten`);
    say(back, told.error);
    return;
  }
  say(state.children[1], `${told.queued} queued`);
  // Of a thousand keys the bar is full; with a few it can be seen.
  bar.firstElementChild.style.setProperty("width", `${Math.min(100, 34 * Math.log10(1 + told.queued))}%`);
  const working = told.working.map((item) => item.key);
  say(work, working.length ? `▸ ${working.join(" ")}` : told.next.length ? `· ${told.next.join(" ")}` : told.what);
  const retry = told.backoff[0];
  const waits = told.waiting ? `${told.waiting} once more later` : "";
  say(back, retry ? `${retry.key}: try ${retry.failures + 1} in ${retry.seconds} s` : waits);
  back.classList.toggle("back", Boolean(retry));
}

export function drawLanes(frame) {
  for (const side of ["ours", "twin"]) {
    keyed(find(`${side}-lanes`), frame.lanes[side], (lane) => lane.name, create, draw);
    const counts = frame.score[side];
    say(find(`${side}-counts`), `${counts.namespaces} namespaces · ${counts.accounts} accounts · ${counts.tokens} tokens · revision ${counts.revision}${counts.looking ? ` · ${counts.looking} still to be looked at` : ""}`);
    say(find(`${side}-wrong`), counts.wrong);
    document.querySelector(`.wrong[data-side=${side}]`).classList.toggle("some", counts.wrong > 0);
  }
  say(find("jwks"), `${frame.keys.path} (${frame.keys.kids.map((kid) => kid.slice(0, 8)).join(", ")})`);
}

/** The scoreboard: each fault, the newest first. */
export function drawFaults(frame) {
  const score = frame.score;
  const mean = score.mean_seconds === null ? "" : `, in ${score.mean_seconds} s on average, ${score.longest_seconds} s at most`;
  say(find("summary"), score.faults ? `${score.faults} faults; ours got over ${score.healed}${mean}.` : "No faults yet: break something.");
  keyed(
    find("faults"),
    [...score.log].reverse(),
    (fault) => fault.number,
    () => make("tr", {}, make("td"), make("td"), make("td"), make("td")),
    (row, fault) => {
      const [what, lasted, healed, left] = row.children;
      say(what, fault.what);
      say(lasted, `${fault.lasted.toFixed(1)} s${fault.over ? "" : " …"}`);
      say(healed, fault.healed ? `${fault.healed_in.toFixed(3)} s` : fault.over ? "healing" : "lasts");
      healed.className = fault.healed ? "good" : "warn";
      say(left, fault.healed ? `${fault.twin_wrong} wrong` : "");
      left.className = fault.twin_wrong ? "bad" : "good";
    },
  );
}

export function drawTour(frame) {
  const tour = frame.tour;
  find("tour").hidden = tour === null;
  find("tour-start").hidden = tour !== null;
  if (tour === null) return;
  say(find("tour-step"), `${tour.step}/${tour.of}`);
  say(find("tour-title"), tour.title);
  say(find("tour-text"), tour.text);
  const facts = Object.entries(tour.facts).map(([name, fact]) => [name, String(fact)]);
  const told = JSON.stringify(facts) + tour.phase;
  if (find("tour-facts").dataset.told === told) return;
  find("tour-facts").dataset.told = told;
  const shown = facts.length || tour.phase !== "over" ? facts : [["ours", "as it should be"]];
  const phase = tour.phase === "over" ? [] : [["now", tour.phase]];
  put(find("tour-facts"), ...[...phase, ...shown].map(([name, fact]) => make("div", {}, make("dt", {}, name), make("dd", {}, fact))));
}
