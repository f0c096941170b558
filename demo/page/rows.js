// The rows: each namespace with what hangs on it, on both sides. A row flashes when something in it has a new revision.

import { find, keyed, make, put, say } from "./dom.js";

const seen = new Map();

function revision(number) {
  return make("sup", {}, `+${number}`);
}

function cells(view) {
  const account = view.accounts[0];
  const secret = view.secrets[0];
  const unknown = account && secret && !account.refers.includes(secret.name) ? " refers to none" : "";
  const more = view.secrets.length > 1 ? ` and ${view.secrets.length - 1} more` : "";
  return [
    make("span", { class: "cell ns" }, view.name, revision(view.revision)),
    account
      ? make("span", { class: unknown ? "cell no" : "cell" }, `${account.name} ${account.uid.slice(0, 4)}`, revision(account.revision), unknown)
      : make("span", { class: "cell no" }, view.terminating ? "is going" : "no account"),
    secret
      ? make("span", { class: "cell" }, secret.name + more, revision(secret.revision))
      : make("span", { class: "cell no" }, "no token"),
    standing(secret),
  ];
}

function standing(secret) {
  if (!secret) return make("span", { class: "cell" });
  if (secret.standing === "good") return make("span", { class: "cell ok" }, `✓ ${secret.token.algorithm}, good`);
  if (secret.standing === "bad") return make("span", { class: "cell no" }, `✗ ${secret.why}`);
  return make("span", { class: "cell" }, "… is being checked");
}

function create(side, choose) {
  const row = make("button", { type: "button", class: "row" });
  row.addEventListener("click", () => row.dataset.name && choose(side, row.dataset.name));
  return row;
}

function draw(row, side, name, view, chosen) {
  const told = view ? JSON.stringify(view) : "";
  row.setAttribute("aria-pressed", chosen ? "true" : "false");
  if (row.dataset.told === told) return;
  row.dataset.told = told;
  row.disabled = !view;
  row.dataset.name = view ? name : "";
  row.classList.toggle("empty", !view);
  row.classList.toggle("broken", Boolean(view && view.wrong.length));
  if (!view) {
    put(row, make("span", { class: "cell" }, "–"));
    return;
  }
  put(row, ...cells(view));
  const how = view.wrong.length ? view.wrong.join("; ") : "as it should be";
  row.title = how;
  row.setAttribute("aria-label", `${side === "ours" ? "Verger" : "Twin"}, ${name}: ${how}. Why is it there?`);
  const key = `${side}/${name}`;
  const before = seen.get(key);
  seen.set(key, view.newest);
  if (before !== undefined && before !== view.newest) {
    row.classList.remove("flash");
    void row.offsetWidth; // the animation begins anew
    row.classList.add("flash");
  }
}

/** `past` is {side, revision, views} while somebody looks back. */
export function drawRows(frame, chosen, past, choose) {
  let rows = frame.namespaces;
  if (past) {
    const names = [...new Set([...past.views.map((view) => view.name), ...rows.map((row) => row.name)])];
    const then = new Map(past.views.map((view) => [view.name, view]));
    const now = new Map(rows.map((row) => [row.name, row]));
    rows = names.slice(-24).map((name) => ({ ...(now.get(name) ?? { name, ours: null, twin: null }), [past.side]: then.get(name) ?? null }));
  }
  keyed(
    find("rows"),
    rows,
    (row) => row.name,
    () => make("div", { class: "pair" }, create("ours", choose), create("twin", choose)),
    (pair, row) => {
      for (const [index, side] of ["ours", "twin"].entries()) {
        draw(pair.children[index], side, row.name, row[side], chosen?.side === side && chosen.name === row.name);
      }
    },
  );
  say(find("hidden"), !past && frame.hidden > 0 ? `and ${frame.hidden} more namespaces` : "");
  find("past").hidden = !past;
  if (past) say(find("past"), `· ${past.side === "ours" ? "Verger" : "the twin"} as it was at revision ${past.revision}`);
}
