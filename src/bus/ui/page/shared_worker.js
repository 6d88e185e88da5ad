// What all tabs of a browser share, because it has six connections for a server that speaks HTTP/1.1:
//
//     counters    one stream, for however many look
//     leases      of three streams of events at once; who claims one more takes it from whoever claimed first
//
// That leaves two connections for what is asked besides.

import { everything, learned, NOTHING } from './counts.js';
import { watch } from './api.js';

const MOST_STREAMS = 3;

const watchers = new Set();
const holders = [];
let known = null;
let running = null;

function tell(told) {
  known = told.changes ? learned(known || NOTHING, told.changes) : null;
  for (const port of watchers) port.postMessage({ told });
}

function begin() {
  running?.abort();
  running = new AbortController();
  watch(tell, running.signal);
}

function release(port) {
  const at = holders.indexOf(port);
  if (at >= 0) holders.splice(at, 1);
}

// A port that is left tells nobody, so each tab says goodbye; one that comes back says hello again.
const words = {
  hello(port) {
    watchers.add(port);
    if (known) port.postMessage({ told: { changes: everything(known) } });
    if (!running) begin();
  },
  again: begin,
  claim(port) {
    release(port);
    holders.push(port);
    if (holders.length > MOST_STREAMS) holders.shift().postMessage({ taken: true });
  },
  release,
  bye(port) {
    release(port);
    watchers.delete(port);
    if (watchers.size) return;
    running?.abort();
    running = known = null;
  },
};

self.onconnect = ({ ports: [port] }) => { port.onmessage = ({ data }) => words[data](port); };
