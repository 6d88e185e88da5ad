// The page: who is there, where one is, and the view of that.

import { html, render, useEffect, useState } from './vendor/preact-htm.js';
import { address, go, useAddress } from './router.js';
import { askForToken, mayPublish, maySubscribe, readOnly, start, startAgain, state, useStore } from './store.js';
import { call } from './api.js';
import { Dialog, Form, Problem, useAction } from './parts/basics.js';
import { Overview, troubles } from './views/overview.js';
import { Latest } from './views/latest.js';
import { Events } from './views/events.js';
import { Publish } from './views/publish.js';
import { Consumers } from './views/consumers.js';
import { DeadLetters } from './views/dead_letters.js';
import { ServerView } from './views/server.js';

/** The views, and to whom they are offered, if not to all. */
const VIEWS = {
  overview: { title: 'Overview', view: Overview },
  events: { title: 'Events', view: Events, offered: maySubscribe },
  publish: { title: 'Publish', view: Publish, offered: mayPublish },
  consumers: { title: 'Consumers', view: Consumers },
  dead: { title: 'Dead letters', view: DeadLetters },
  latest: { title: 'Latest values', view: Latest, offered: maySubscribe },
  server: { title: 'Server', view: ServerView },
};

const KEYS = [
  ['/', 'Filter'], ['Space', 'Pause live events, and go on'], ['1, 2 …', 'The views in their order'], ['t', 'Light or dark'],
  ['Esc', 'Close what is open'], ['?', 'These keys'],
];

function App() {
  const { view: name, name: of, parameters } = useAddress();
  const { signIn, problem } = useStore();
  const [help, setHelp] = useState(false);
  const { title, view: View } = VIEWS[name] || VIEWS.overview;
  useEffect(() => { document.title = `${of || title} · Bus`; }, [title, of]);
  useEffect(() => listenToKeys({
    help: () => setHelp(true),
    view: (number) => { const found = offered()[number - 1]; if (found) go(found); },
  }), []);
  if (signIn) return html`<${SignIn} />`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>
      To the content</a>
    <${Sidebar} current=${VIEWS[name] ? name : 'overview'} help=${() => setHelp(true)} />
    <main id="main" tabindex="-1">
      ${readOnly(state) && html`<p class="notice">${readOnly(state)}</p>`}
      ${problem && html`<p class="banner" role="status">${problem}</p>`}
      <${View} name=${of} parameters=${parameters} />
    </main>
    ${help && html`<${Dialog} title="Keys" close=${() => setHelp(false)}>
      <dl class="facts keys">${KEYS.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl><//>`}`;
}

/** The names of the views for who looks; all until it is known who that is. */
const offered = () => Object.keys(VIEWS).filter((name) => !state.about || (VIEWS[name].offered?.(state) ?? true));

function Sidebar({ current, help }) {
  useStore();
  useEffect(() => document.querySelector('[aria-current=page]')?.scrollIntoView({ block: 'nearest', inline: 'center' }), [current, offered().length]);
  const count = { overview: troubles(state).length };
  return html`<nav class="sidebar" aria-label="Views">
    <a class="brand" href="#/overview"><img src="icon.svg" alt="" width="22" height="22" />Bus</a>
    <ul>${offered().map((name) => html`
      <li key=${name}><a href=${address(name)} aria-current=${name === current ? 'page' : undefined}>
        ${VIEWS[name].title}${count[name] ? html` <span class="count">${count[name]}</span>` : null}</a></li>`)}</ul>
    <div class="foot"><${Who} /><button type="button" class="plain" onClick=${help} aria-label="Keys"><kbd>?</kbd></button></div>
  </nav>`;
}

start();
render(html`<${App} />`, document.getElementById('app'));

// -- Keys that count wherever one is, unless one is writing.

const WRITING = 'input, textarea, select, [contenteditable]';

function listenToKeys({ help, view }) {
  const listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    if (key === 'Escape' && target.matches('.filter')) target.blur();
    if (target.matches(WRITING) || document.querySelector('dialog[open]')) return;
    if (act(key, target, help, view)) event.preventDefault();
  };
  addEventListener('keydown', listen);
  return () => removeEventListener('keydown', listen);
}

function act(key, target, help, view) {
  if (key === '?') help();
  else if (key === '/') document.querySelector('.filter')?.focus();
  else if (key === ' ' && !target.closest('button, a, summary, [role=listbox], [tabindex="0"]')) return press('[data-key=space]');
  else if (key === ' ' && target.closest('[role=listbox]')) return press('[data-key=space]');
  else if (key === 'Escape') return press('[data-key=escape]');
  else if (key === 't') toggleTheme();
  else if (key >= '1' && key <= '9') view(Number(key));
  else return false;
  return true;
}

function press(selector) {
  const found = document.querySelector(selector);
  found?.click();
  return Boolean(found);
}

/** Light or dark, whatever the system says, until it is said otherwise. */
function toggleTheme() {
  const { dataset } = document.documentElement;
  const dark = dataset.theme ? dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  dataset.theme = dark ? 'light' : 'dark';
  localStorage.setItem('theme', dataset.theme);
}

const kept = localStorage.getItem('theme');
if (kept) document.documentElement.dataset.theme = kept;

// -- Signing in with a token, which becomes a cookie that no script can read.

function SignIn() {
  const [token, setToken] = useState('');
  const [doing, error, run] = useAction();
  const submit = () => run(async () => {
    await call('POST', '/v1/session', { headers: { Authorization: `Bearer ${token.trim()}` } });
    startAgain();
  });
  return html`<main class="sign-in" id="main">
    <${Form} kind="panel" submit=${submit}>
      <h1><img src="icon.svg" alt="" width="28" height="28" /> Bus</h1>
      <p class="muted">Sign in with a token of this server. It stays in this browser for 12 hours, or until you sign out.</p>
      <label>Token<input type="password" name="token" autocomplete="current-password" required autofocus
        placeholder="bus_…" value=${token} onInput=${(event) => setToken(event.target.value)} /></label>
      <${Problem} error=${error} />
      <button class="primary" disabled=${doing}>Sign in</button>
    <//></main>`;
}

/** Who one is, and the way out, or in for who has shown no token. */
function Who() {
  const { about, signInHelps } = useStore();
  const [, , run] = useAction();
  const leave = () => run(async () => { await call('DELETE', '/v1/session'); startAgain(); });
  const who = about?.who || 'everybody';
  if (who === 'anonymous' || signInHelps) return html`<button type="button" class="plain" onClick=${askForToken}>Sign in</button>`;
  if (who === 'everybody') return html`<span></span>`;
  return html`<span class="who" title=${who}>${who}</span><button type="button" class="plain" onClick=${leave}>Sign out</button>`;
}
