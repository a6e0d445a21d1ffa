// Decides how a Node client's program reports: one JSON line per check, one at the end.
// Knows no client.
import assert from 'node:assert/strict';

export { assert };
export const BASE_URL = process.env.P402_BASE_URL;
export const KEY = process.env.P402_KEY;
export const PIN_KEY = process.env.P402_PIN_KEY;
export const TEXT = 'Hello, world!';
export const HELLO = [{ role: 'user', content: 'Say hello.' }];
export const COST_USD = 0.0001025;
export const KEYS = [
  'request_id', 'tenant_id', 'provider', 'model', 'cost_usd', 'direct_cost', 'savings',
  'input_tokens', 'output_tokens', 'latency_ms', 'provider_latency_ms', 'cached', 'routing_mode',
];
export const CITY = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
export const WEATHER = {
  type: 'function',
  function: { name: 'get_weather', description: 'The weather of a city.', parameters: CITY },
};

let count = 0;
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// Runs the block; says whether it held.
export async function check(name, block) {
  count += 1;
  try {
    await block();
    say({ check: name, ok: true });
  } catch (error) {
    const at = /check\.mjs:(\d+)/.exec(error?.stack ?? '')?.[1] ?? '?';
    say({ check: name, ok: false, detail: `line ${at} ${error?.name}: ${error?.message}` });
  }
}

// The error that the block throws; an error of its own if there is none.
export async function thrown(block) {
  let value;
  try {
    value = await block();
  } catch (error) {
    return error;
  }
  throw new Error(`nothing thrown, got ${JSON.stringify(value)}`);
}

// The thirteen keys, in order, with the figures of the test upstream.
export function metadata(found, mode = 'balanced') {
  assert.equal(typeof found, 'object', `no metadata: ${found}`);
  assert.deepEqual(Object.keys(found), KEYS);
  assert.match(found.request_id, /^req_[0-9a-f]{32}$/);
  assert.deepEqual([found.input_tokens, found.output_tokens], [11, 5]);
  assert.deepEqual([found.cost_usd, found.direct_cost, found.savings], [COST_USD, COST_USD, 0]);
  assert.equal(found.cached, false);
  assert.equal(found.routing_mode, mode);
  assert.ok(found.provider_latency_ms >= 0 && found.provider_latency_ms <= found.latency_ms);
  return found;
}

export const finish = () => say({ done: count });
