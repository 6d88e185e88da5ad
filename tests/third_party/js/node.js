// Calls of the test come as lines of JSON, [name, ...arguments]; a line with what the call returned goes back.

import { createInterface } from 'node:readline';
import { EventSource } from 'eventsource';
import { acknowledge, listenWith, next, publish } from './client.js';

const calls = { acknowledge, next, publish, listen: listenWith(EventSource) };

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line);
  console.log(JSON.stringify((await calls[name](...given)) ?? null));
}
process.exit();
