// The small parts that views are made of.

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { call } from '../api.js';
import { useStore } from '../store.js';

export const Page = ({ title, hint, actions, children }) => html`
  <header class="page-head">
    <div><h1>${title}</h1>${hint && html`<p class="muted">${hint}</p>`}</div>
    <div class="actions">${actions}</div>
  </header>
  ${children}`;

export const Panel = ({ title, aside, children, flush }) => html`
  <section class=${`panel ${flush ? 'flush' : ''}`}>
    ${title && html`<div class="panel-head"><h2>${title}</h2><div class="actions">${aside}</div></div>`}
    ${children}
  </section>`;

/** What one fills in; *submit* is called once it is complete. */
export const Form = ({ kind = 'form', submit = () => {}, children }) => html`
  <form class=${kind} onSubmit=${(event) => { event.preventDefault(); submit(); }}>${children}</form>`;

/** Where the text is written that chooses among rows. */
export const FilterInput = ({ hint, value = '', change }) => html`
  <label class="wide">Filter<input class="filter" type="search" placeholder=${hint} value=${value} onInput=${(event) => change(event.target.value)} /></label>`;

/** Rows below *head*, names of columns each with the class of what is in it. */
export const Table = ({ head, children }) => html`<div class="scroll"><table>
  <thead><tr>${head.map(([name, kind]) => html`<th class=${kind}>${name}</th>`)}</tr></thead><tbody>${children}</tbody></table></div>`;

export const Figure = ({ label, value, note, tone }) => html`
  <div class="figure"><div class="label">${label}</div>
    <div class=${`value ${tone || ''}`}>${value}</div>${note && html`<div class="note">${note}</div>`}</div>`;

export const Empty = ({ title, children }) => html`
  <div class="empty"><strong>${title}</strong><p>${children}</p></div>`;

export const Problem = ({ error }) => error
  ? html`<p class="problem" role="alert">${error.message || error}</p>` : null;

export const Tag = ({ tone, children }) => html`<span class=${`tag ${tone || ''}`}>${children}</span>`;

/** Names and what they are, one below the other. */
export const Facts = ({ rows }) => html`
  <dl class="facts">${rows.filter((row) => row && row[1] != null && row[1] !== '').map(([name, value]) => html`
    <div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

export function CopyButton({ text, children }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await writeToClipboard(typeof text === 'function' ? text() : text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1200);
  };
  return html`<button type="button" onClick=${copy}>${copied ? 'Copied' : children}</button>`;
}

/** Browsers have no clipboard to offer where a page came over plain HTTP from another machine. */
async function writeToClipboard(text) {
  if (navigator.clipboard) { await navigator.clipboard.writeText(text); return; }
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

/** A dialog that is open as long as it is drawn. */
export function Dialog({ title, close, children }) {
  const dialog = useRef(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`
    <dialog ref=${dialog} onClose=${close} onClick=${(event) => event.target === dialog.current && close()}
      aria-label=${title}>
      <form method="dialog" class="dialog-head"><h2>${title}</h2><button aria-label="Close">✕</button></form>
      <div class="dialog-body">${children}</div>
    </dialog>`;
}

/** A dialog that has *remove* done once the name is typed; its children say what that means. */
export function DeleteDialog({ name, remove, close, children }) {
  const [typed, setTyped] = useState('');
  const [doing, error, run] = useAction();
  const submit = () => run(async () => { await remove(); close(); });
  return html`<${Dialog} title=${`Delete ${name}`} close=${close}>
    <${Form} submit=${submit}>
      <p>${children}</p>
      <label>Type its name to delete it<input class="code" autofocus autocomplete="off" value=${typed} onInput=${(event) => setTyped(event.target.value)} placeholder=${name} /></label>
      <${Problem} error=${error} />
      <div class="actions end"><button class="danger" disabled=${doing || typed !== name}>Delete</button></div>
    <//><//>`;
}

/** Something that is done by a button, which says how it went: [doing, error, run]. */
export function useAction() {
  const [doing, setDoing] = useState(false);
  const [error, setError] = useState(null);
  const run = async (action) => {
    setDoing(true);
    setError(null);
    try { await action(); } catch (problem) { setError(problem); } finally { setDoing(false); }
  };
  return [doing, error, run];
}

/** What *load* gives, and again whenever *keys* change or *reload* is called: [value, error, reload]. */
export function useLoaded(load, keys) {
  const [found, setFound] = useState([null, null]);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let counts = true;
    load().then((value) => counts && setFound([value, null]), (error) => counts && setFound([null, error]));
    return () => { counts = false; };
  }, [...keys, round]);
  return [...found, () => setRound(round + 1)];
}

/** As many of *rows* as fit a page, and a button for more: [shown, button]. */
export function useMore(rows, step = 100) {
  const [most, setMost] = useState(step);
  const left = rows.length - most;
  return [rows.slice(0, most), left > 0 && html`<p class="pad"><button type="button" onClick=${() => setMost(most + step)}>${left} more</button></p>`];
}

export const download = (name, parts, type = 'application/x-ndjson') => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

// -- Fields whose text counts once it is complete, and one of them for subjects.

const ID = 'known-subjects';
const SUGGESTED = 500;

/** A field whose text is told when it is left or entered; meanwhile it is whoever writes it's own. */
export function TextInput({ value, change = () => {}, onInput, ...others }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const tell = () => { if (text.trim() !== value) change(text.trim()); };
  const write = (event) => { setText(event.target.value); onInput?.(event); };
  return html`<input value=${text} onInput=${write} onChange=${tell} onKeyDown=${(event) => event.key === 'Enter' && tell()} ...${others} />`;
}

/** A subject or a pattern, with what there is in the server to choose from. */
export function SubjectInput({ pattern, value, onInput, ...others }) {
  const [written, setWritten] = useState(value);
  const subjects = useSubjects(written);
  const { known } = useStore();
  const namespaces = [...known.namespaces.keys()].map((name) => (pattern ? `${name}.>` : `${name}.`));
  const write = (event) => { setWritten(event.target.value); onInput?.(event); };
  return html`<${TextInput} list=${ID} spellcheck="false" autocapitalize="off" autocomplete="off" required value=${value} onInput=${write} ...${others} />
    <datalist id=${ID}>${[...namespaces, ...subjects].map((one) => html`<option key=${one} value=${one} />`)}</datalist>`;
}

/** Some subjects of the namespace that *written* begins with; none if it may not be read. */
function useSubjects(written) {
  const namespace = written.includes('.') ? written.split('.')[0] : '';
  const [found, setFound] = useState([]);
  useEffect(() => {
    const asked = new AbortController();
    setFound([]);
    if (namespace) {
      call('GET', '/v1/subjects', { query: { match: `${namespace}.>`, limit: SUGGESTED }, signal: asked.signal })
        .then(({ subjects }) => setFound(subjects.map((one) => one.subject)), () => {});
    }
    return () => asked.abort();
  }, [namespace]);
  return found;
}
