// Why an object is there: what was written by whom, who had heard of what; and what its token says.

import { ask, find, make, put, say } from "./dom.js";

const state = { chosen: null, object: null, asked: "", view: "" };

export function chosenRow() {
  return state.chosen;
}

export function choose(side, name) {
  Object.assign(state, { chosen: { side, name }, object: null, asked: "", view: "" });
}

/** The objects of the chosen namespace; the account is what most want to know of. */
function objects(view) {
  return [
    ["namespaces", view.name, "Namespace"],
    ...view.accounts.map((account) => ["serviceaccounts", `${view.name}/${account.name}`, "Account"]),
    ...view.secrets.map((secret) => ["secrets", `${view.name}/${secret.name}`, "Secret"]),
  ];
}

export function drawWhy(frame) {
  const chosen = state.chosen;
  if (!chosen) return;
  const view = frame.namespaces.find((row) => row.name === chosen.name)?.[chosen.side];
  if (!view) return;
  find("why").hidden = false;
  const side = chosen.side === "ours" ? "Verger" : "Twin";
  say(find("why-hint"), `${side}, ${chosen.name}: ${view.wrong.length ? view.wrong.join("; ") : "as it should be"}.`);
  const told = JSON.stringify(view);
  if (told !== state.view) {
    state.view = told;
    const there = objects(view);
    if (!there.some(([resource, key]) => state.object === `${resource} ${key}`)) {
      const [resource, key] = there[there.length - 1];
      state.object = `${resource} ${key}`;
    }
    buttons(there, view);
    drawToken(view);
  }
  explain(view.newest);
}

function buttons(there, view) {
  put(
    find("objects"),
    ...there.map(([resource, key, kind]) => {
      const button = make(
        "button",
        { type: "button", "aria-pressed": String(state.object === `${resource} ${key}`), "aria-label": `Why is there ${kind} ${key}?` },
        kind,
      );
      button.addEventListener("click", () => {
        state.object = `${resource} ${key}`;
        state.asked = "";
        for (const other of find("objects").children) other.setAttribute("aria-pressed", String(other === button));
        explain(-1);
        drawToken(view);
      });
      return button;
    }),
  );
}

async function explain(newest) {
  const { chosen, object } = state;
  const question = `${chosen.side} ${object} ${newest}`;
  if (state.asked === question || (newest < 0 && state.asked.startsWith(`${chosen.side} ${object} `))) return;
  state.asked = question;
  const [resource, key] = object.split(" ");
  try {
    const chain = await ask("why", { side: chosen.side, resource, key });
    if (state.asked !== question) return;
    put(find("chain"), ...chain.map(link), chain.length ? null : make("li", {}, "It was there before the demo, or it is too long ago."));
  } catch {
    state.asked = "";
  }
}

function link(written) {
  const work = written.work;
  const what = make(
    "p",
    {},
    make("b", {}, `+${written.revision} `),
    make("span", { class: written.type }, written.type ?? ""),
    ` ${written.resource ?? ""} `,
    make("span", { class: "mono" }, written.key ?? ""),
  );
  if (!work) return make("li", {}, what, make("p", { class: "quiet" }, "by somebody over the API"));
  const tries = work.attempt > 1 ? `, try ${work.attempt}` : "";
  const causes = written.heard.map((heard) =>
    make(
      "p",
      { class: "quiet" },
      "because it heard: ",
      make("span", { class: heard.type }, heard.type),
      ` ${heard.resource} `,
      make("span", { class: "mono" }, heard.key),
      heard.revision === null ? null : ` at +${heard.revision}`,
    ),
  );
  const reconcile = work.who.includes("controller") || work.who.includes("publisher");
  const did = reconcile ? `reconciled ${work.key} in ${work.milliseconds} ms${tries}` : work.key;
  return make("li", {}, what, make("p", {}, make("b", {}, work.who), ` ${did}`), ...causes);
}

const short = (name) => name.replace("kubernetes.io/serviceaccount/", "…/");

function drawToken(view) {
  const secret = view.secrets.find((one) => state.object === `secrets ${view.name}/${one.name}`) ?? view.secrets[0];
  if (!secret) {
    put(find("token"), make("p", { class: "verdict bad" }, "There is none."));
    return;
  }
  const good = secret.standing === "good";
  const verdict = good ? "Signature good: verified against the plane's own JWKS" : `Bad: it ${secret.why}`;
  const parts = [make("p", { class: `verdict ${good ? "good" : "bad"}` }, verdict)];
  if (secret.token) {
    const said = { alg: secret.token.algorithm, kid: secret.token.kid, ...secret.token.claims };
    parts.push(make("dl", { class: "claims" }, ...Object.entries(said).flatMap(([name, value]) => [make("dt", { title: name }, short(name)), make("dd", {}, String(value))])));
  }
  put(find("token"), ...parts);
}
