// What a program does with Bus, whichever reader of server-sent events it has. The tests call these by name.

const heard = [];
const waiting = [];

function hear(kind, data, id) {
  const event = { kind, data, id };
  if (waiting.length) waiting.shift()(event);
  else heard.push(event);
}

export function next() {
  return heard.length ? heard.shift() : new Promise((resolve) => waiting.push(resolve));
}

export async function publish(server, event) {
  const answer = await fetch(`${server}/`, { method: 'POST', body: JSON.stringify(event) });
  return { status: answer.status, id: answer.headers.get('X-BUS-EVENT-ID') };
}

export async function acknowledge(server, query) {
  const answer = await fetch(`${server}/?${query}`, { method: 'PUT' });
  return answer.status;
}

export function listenWith(EventSource) {
  return function listen(url, last = '') {
    const events = new EventSource(last ? `${url}&last_event_id=${last}` : url);
    for (const kind of ['open', 'msg', 'done']) {
      events.addEventListener(kind, ({ data, lastEventId }) => {
        last = lastEventId || last;
        if (data) hear(kind, data, lastEventId); // without data it is the reader's own event
      });
    }
    events.addEventListener('error', () => {
      // A proxy answers for a server that is away, and an answer that isn't 200 ends an EventSource for good.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 200, url, last);
    });
  };
}

export function listenByFetch(fetchEventSource) {
  return (url) => {
    fetchEventSource(url, {
      openWhenHidden: true,
      onmessage: ({ event, data, id }) => hear(event, data, id),
      onclose: () => { throw new Error('the server has ended the stream: connect again'); },
    });
  };
}
