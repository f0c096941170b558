// What every part of the page needs: finding, making and changing elements, and asking the server.

export const find = (id) => document.getElementById(id);

/** An element with attributes and children; text stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Changes a text only when it is another one, so that nothing is read out or drawn for no reason. */
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function put(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null));
}

/** Keeps one child for each item, by its key, in their order; `draw(child, item)` fills it. */
export function keyed(parent, items, keyOf, create, draw) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = there.get(key);
    there.delete(key);
    if (!child) {
      child = create(item);
      child.dataset.key = key;
    }
    const place = before ? before.nextElementSibling : parent.firstElementChild;
    if (place !== child) parent.insertBefore(child, place);
    draw(child, item);
    before = child;
  }
  for (const gone of there.values()) gone.remove();
}

/** What the server says; throws an Error that says why when it refuses. */
export async function ask(path, query = null) {
  const answer = await fetch(query ? `${path}?${new URLSearchParams(query)}` : path);
  if (!answer.ok) throw new Error(await reason(answer));
  return answer.json();
}

export async function tell(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await reason(answer));
}

async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).refused ?? text;
  } catch {
    return text;
  }
}
