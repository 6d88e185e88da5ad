// The page: who is there, where one is, and the view of that.

import { html, render, useEffect, useState } from './vendor/preact-htm.js';
import { address, go, useAddress } from './router.js';
import { askForToken, mayPublish, maySubscribe, readOnly, start, startAgain, state, useStore } from './store.js';
import { call } from './api.js';
import { Dialog, Form, Page, Problem, useAction, useLoaded } from './parts/basics.js';
import Overview, { troubles } from './views/overview.js';

/** The views: what draws each, or loads what does when it is first opened, and to whom it is offered, if not to all. */
const VIEWS = {
  overview: { title: 'Overview', draw: Overview },
  events: { title: 'Events', load: () => import('./views/events.js'), offered: maySubscribe },
  publish: { title: 'Publish', load: () => import('./views/publish.js'), offered: mayPublish },
  consumers: { title: 'Consumers', load: () => import('./views/consumers.js') },
  dead: { title: 'Dead letters', load: () => import('./views/dead_letters.js') },
  latest: { title: 'Latest values', load: () => import('./views/latest.js'), offered: maySubscribe },
  server: { title: 'Server', load: () => import('./views/server.js') },
};

const KEYS = [
  ['/', 'Filter'], ['Space', 'Pause live events, and go on'], ['1, 2 …', 'The views in their order'], ['t', 'Light or dark'],
  ['Esc', 'Close what is open'], ['?', 'These keys'],
];

function App() {
  const { view: asked, name, parameters } = useAddress();
  const { signIn, problem } = useStore();
  const [help, setHelp] = useState(false);
  const current = Object.hasOwn(VIEWS, asked) ? asked : 'overview';
  const { title } = VIEWS[current];
  useEffect(() => { document.title = `${name || title} · Bus`; }, [title, name]);
  useEffect(() => listenToKeys({
    help: () => setHelp(true),
    view: (number) => { const found = offered()[number - 1]; if (found) go(found); },
  }), []);
  if (signIn) return html`<${SignIn} />`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>
      To the content</a>
    <${Sidebar} current=${current} help=${() => setHelp(true)} />
    <main id="main" tabindex="-1">
      ${readOnly(state) && html`<p class="notice">${readOnly(state)}</p>`}
      ${problem && html`<p class="banner" role="status">${problem}</p>`}
      <${View} key=${current} view=${VIEWS[current]} name=${name} parameters=${parameters} />
    </main>
    ${help && html`<${Dialog} title="Keys" close=${() => setHelp(false)}>
      <dl class="facts keys">${KEYS.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl><//>`}`;
}

/** One of the views, with a *key* of its own: what comes late for another is kept there and not shown. */
function View({ view, ...shown }) {
  const [, missing] = useLoaded(() => bring(view), []);
  const [doing, error, run] = useAction();
  if (view.draw) return html`<${view.draw} ...${shown} />`;
  if (!missing) return html`<${Page} title=${view.title} hint="Loading …" />`;
  // A module that doesn't fit those that are here is refused for as long as the page lives, so the page is loaded again.
  const again = () => run(async () => { await call('HEAD', '/ui/'); location.reload(); });
  return html`<${Page} title=${view.title}>
    <${Problem} error=${`This view can't be loaded: ${(error || missing).message}`} />
    <button type="button" disabled=${doing} onClick=${again}>Try again</button><//>`;
}

/** Have what draws *view* here. What a page is made of is of one version: that of an upgraded server comes with its page. */
async function bring(view) {
  if (view.draw) return;
  if (state.upgraded) location.reload();
  else view.draw = (await view.load()).default;
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
