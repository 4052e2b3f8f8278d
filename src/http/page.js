'use strict';
// The server sends `main` anew each second. What is there is changed into it in place, so that focus, selection and scroll
// positions stay, and a button never becomes that of another session while somebody aims at it.
const become = (old, now) => {
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  let at = old.firstChild;
  for (const node of [...now.childNodes]) {
    const known = node.id ? [...old.children].find((child) => child.id === node.id) : at && !at.id ? at : null;
    if (!known) {
      old.insertBefore(node, at);
      continue;
    }
    if (known === at) at = at.nextSibling;
    else old.insertBefore(known, at);
    become(known, node);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
};

const live = document.getElementById('live');
const tell = (text) => { if (live.textContent !== text) live.textContent = text; };
let told = 0;
// The server ends each stream after some minutes, and the browser comes again: nothing that anybody has to know.
let lost = 0;

const listen = () => {
  const events = new EventSource('status/events');
  events.onmessage = ({ data }) => {
    const page = new DOMParser().parseFromString(JSON.parse(data), 'text/html');
    become(document.querySelector('main'), page.querySelector('main'));
    lost = 0;
    if (Date.now() > told) tell('Live');
  };
  events.onerror = () => {
    lost += 1;
    if (lost > 1 || events.readyState === EventSource.CLOSED) tell('Not connected, trying again');
    // The browser tries again by itself unless it was refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
  };
};
listen();

document.addEventListener('click', async ({ target }) => {
  const button = target.closest('button[data-path]');
  if (!button) return;
  const { method, path, question } = button.dataset;
  if (question && !confirm(question)) return;
  told = Date.now() + 8000;
  try {
    const answer = await fetch(path, { method });
    const text = await answer.text();
    const said = text ? JSON.parse(text) : {};
    tell(said.errors ? said.errors.join('; ') : said.message || 'Done');
  } catch {
    tell('No answer');
  }
});
