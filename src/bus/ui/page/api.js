// Asking the server, at the address that the page came from. Errors are the server's own: a line, and a code.

const ROOT = new URL('..', import.meta.url);

/** Somebody has to sign in first: the event is told on `api`. */
export const api = new EventTarget();

class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || `the server answered ${status}`);
    Object.assign(this, { status, code: problem.code || '' });
  }
}

/** An address of the server, with what of *query* says something; a list says it several times. */
export function url(path, query = {}) {
  const found = new URL(path.replace(/^\//, ''), ROOT);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one != null && one !== '') found.searchParams.append(name, one);
  }
  return found;
}

async function ask(method, path, { query, body, headers, signal } = {}) {
  const answer = await fetch(url(path, query), {
    method, signal, credentials: 'same-origin', cache: 'no-store',
    headers: { Accept: 'application/json', ...headers },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const text = await answer.text();
  let problem = { detail: text.trim() };
  try { problem = JSON.parse(text); } catch { /* a proxy's own words */ }
  if (answer.status === 401) api.dispatchEvent(new Event('unauthorized'));
  throw new ApiError(answer.status, problem);
}

/** What the server answers, from JSON; null if it says nothing. */
export async function call(method, path, options) {
  const text = await (await ask(method, path, options)).text();
  return text ? JSON.parse(text) : null;
}

/** As `call`, with the headers beside the text. */
export async function callForHeaders(method, path, options) {
  const answer = await ask(method, path, options);
  return { text: await answer.text(), headers: answer.headers };
}

/** The path of a consumer, or of *what* there is of it. */
export const consumerPath = (name, what = '') => `/v1/consumers/${encodeURIComponent(name)}${what && `/${what}`}`;

/** Hands the lines of a stream to *take*, as many at a time as there are, until its end; *opened* once it is there. */
export async function readLines(path, query, { opened = () => {}, take, signal }) {
  const answer = await ask('GET', path, { query, signal, headers: { Accept: 'application/x-ndjson' } });
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = '';;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value || '')).split('\n');
    rest = done ? '' : lines.pop();
    const whole = lines.filter(Boolean);
    if (whole.length) take(whole);
    if (done) return;
  }
}

/** The lines of a stream that ends. */
export async function readAll(path, query, signal) {
  const found = [];
  await readLines(path, query, { take: (lines) => found.push(...lines), signal });
  return found;
}

// -- Where the counters come from: one stream that the server pushes them by, taken up again whenever it breaks.

const AGAIN_MS = 1000;
const AFTER_REFUSAL_MS = 10_000;

/** Hands {changes}, or {problem, status} when there are none, to *tell* until *signal*. */
export async function watch(tell, signal) {
  while (!signal.aborted) {
    let pause = AGAIN_MS;
    try {
      await readLines('/v1/watch', {}, { take: (lines) => lines.forEach((line) => take(line, tell)), signal });
    } catch (error) {
      if (signal.aborted) return;
      tell({ problem: error.message, status: error.status || 0 });
      if (error.status >= 400 && error.status < 500) pause = AFTER_REFUSAL_MS;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function take(line, tell) {
  const { event, ...told } = JSON.parse(line);
  if (event === 'counts') tell({ changes: told });
  else if (event === 'error') tell({ problem: told.message, status: told.code === 'unauthorized' ? 401 : 0 });
}
