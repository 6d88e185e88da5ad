// What the page knows of the server: the counters as they were told last, how they went in the last minutes, and what
// whoever looks at it may do.
//
//     /v1/watch ─▶ [shared by all tabs] ─▶ take ─▶ state ─▶ views (useStore)
//     /v1/server ────────────────────────▶ learn ──▲

import { useEffect, useState } from './vendor/preact-htm.js';
import { api, call, watch } from './api.js';
import { History, learned, NOTHING } from './counts.js';

/** `about` is what /v1/server says; `upgraded` that its version has changed since; `signIn` that nothing can be seen without a token. */
export const state = {
  known: NOTHING, about: null, upgraded: false, problem: '', signIn: false, signInHelps: false, history: new History(),
};

const listeners = new Set();
let scheduled = false;

/** The state, and the view is drawn again whenever it changes. */
export function useStore() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return state;
}

function change(fields) {
  Object.assign(state, fields);
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => { scheduled = false; for (const listener of [...listeners]) listener(); });
}

export function start() {
  api.addEventListener('unauthorized', () => change({ signInHelps: true }));
  watchShared();
}

/** Ask what the server is, who one is, and what that one may. */
export async function learn() {
  try {
    const about = await call('GET', '/v1/server');
    change({ about, upgraded: state.upgraded || (state.about || about).version !== about.version });
  } catch (error) {
    change({ problem: error.message });
  }
}

export const askForToken = () => change({ signIn: true });

/** Ask all anew: somebody has signed in or out. */
export function startAgain() {
  change({ known: NOTHING, about: null, signIn: false, signInHelps: false });
  watchAgain();
}

function take({ changes, problem = '', status }) {
  if (problem) { change({ problem, signIn: status === 401 }); return; }
  const known = learned(state.known, changes);
  state.history.add(state.known, known);
  change({ known, problem: '', signIn: state.signIn && !changes.full });
  if (changes.full) learn();
}

// -- What whoever looks may do, as the server says: the page offers nothing else. The server decides all the same.

/** Why nothing can be changed from this page, in a line; empty if something can. */
export const readOnly = ({ about }) => about?.read_only || '';

export const mayPublish = (state) => some(state, ({ publish }) => publish.length);
export const maySubscribe = ({ about }) => Boolean(about && (about.may.admin || about.may.subscribe.length));

/** Whether a consumer may be managed: by its name, or because all that it reads is within a granted pattern. */
export const mayManage = (state, { name, patterns }) => some(state, ({ manage }) =>
  manage.some((text) => glob(text).test(name)) || patterns.every((pattern) => manage.some((granted) => contains(granted, pattern))));

/** Whether a namespace may be made, changed and deleted; without a name, whether any may. */
export const mayManageNamespace = (state, name) => some(state, ({ manage }) =>
  manage.some((granted) => contains(granted, `${name ?? granted.split('.')[0]}.>`)));

const some = (state, has) => Boolean(state.about && !readOnly(state) && (state.about.may.admin || has(state.about.may)));

const glob = (text) => new RegExp(`^${text.split('*').map((part) => part.replace(/[.\\+?^${}()|[\]]/g, '\\$&')).join('.*')}$`);

/** Whether all subjects of *pattern* are within *granted*. */
export function contains(granted, pattern) {
  const [wide, narrow] = [granted.split('.'), pattern.split('.')];
  for (let at = 0; at < wide.length; at++) {
    if (wide[at] === '>') return narrow.length > at;
    if (narrow[at] === undefined || narrow[at] === '>') return false;
    if (wide[at] !== '*' && wide[at] !== narrow[at]) return false;
  }
  return wide.length === narrow.length;
}

/** The pattern to begin with: the first that may be read. */
export function firstPattern({ about, known }) {
  if (about && !about.may.admin) return about.may.subscribe[0] || '';
  const [first] = known.namespaces.keys();
  return first ? `${first}.>` : '';
}

// -- The other end of shared_worker.js. A browser without shared workers has each tab do it for itself.

const port = window.SharedWorker
  && new SharedWorker(new URL('shared_worker.js', import.meta.url), { type: 'module', name: 'bus' }).port;
const say = (word) => port?.postMessage(word);

let taken = () => {};

if (port) port.onmessage = ({ data }) => (data.taken ? taken() : take(data.told));

function watchShared() {
  if (!port) { watch(take, new AbortController().signal); return; }
  say('hello');
  addEventListener('pagehide', () => say('bye'));
  addEventListener('pageshow', ({ persisted }) => { if (persisted) say('hello'); });
}

function watchAgain() {
  if (port) say('again');
  else location.reload();
}

/** Claim a stream of events; *lost* is called if another tab takes it. */
export function claim(lost) {
  taken = lost;
  say('claim');
}

export function release() {
  taken = () => {};
  say('release');
}
