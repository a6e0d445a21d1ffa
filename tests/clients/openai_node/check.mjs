// Decides whether the openai SDK for Node works unchanged; two versions of it share this file.
// Does not test the SDK: every assertion is about what the gateway sent.
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import {
  BASE_URL, CITY, COST_USD, HELLO, KEY, PIN_KEY, TEXT, WEATHER,
  assert, check, finish, metadata, thrown,
} from './checks.mjs';

const made = (apiKey) => new OpenAI({ baseURL: BASE_URL, apiKey, maxRetries: 0, timeout: 20_000 });
const client = made(KEY);
const pinned = made(PIN_KEY);
const ASK = { model: 'hello', messages: HELLO };
const SDK = JSON.parse(readFileSync(new URL('./node_modules/openai/package.json', import.meta.url)));
const MODERN = SDK.version.startsWith('7.');
const Weather = z.object({ city: z.string(), celsius: z.number().int() });
const create = (more = {}, options = {}) => client.chat.completions.create({ ...ASK, ...more }, options);
const helper = (c) => c.chat.completions.stream ? c.chat.completions : c.beta.chat.completions;
const PIXEL = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk'
  + 'M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

async function collected(stream) {
  const seen = { text: '', found: [], chunks: [], finish: null, name: '', args: '' };
  for await (const chunk of stream) {
    seen.chunks.push(chunk);
    if (chunk.p402_metadata) seen.found.push(chunk.p402_metadata);
    for (const choice of chunk.choices) {
      seen.text += choice.delta.content ?? '';
      seen.finish = choice.finish_reason ?? seen.finish;
      for (const call of choice.delta.tool_calls ?? []) {
        assert.equal(call.index, 0);
        seen.name += call.function.name ?? '';
        seen.args += call.function.arguments ?? '';
      }
    }
  }
  return seen;
}

await check('versions', () => {
  assert.match(process.version, MODERN ? /^v22\./ : /^v20\./);
  assert.ok(['7.57.0', '4.104.0'].includes(SDK.version), SDK.version);
});

await check('non-stream', async () => {
  const done = await create();
  assert.equal(done.choices[0].message.content, TEXT);
  assert.equal(done.usage.total_tokens, 16);
  assert.equal(done.usage.cost, COST_USD);
  assert.equal(done._request_id, metadata(done.p402_metadata).request_id);
});
await check('headers', async () => {
  const { data, response, request_id } = await client.chat.completions.create(ASK).withResponse();
  metadata(data.p402_metadata);
  assert.equal(response.headers.get('content-type'), 'application/json');
  assert.equal(Number(response.headers.get('x-p402-cost-usd')), COST_USD);
  assert.equal(request_id, data.p402_metadata.request_id);
});
for (const mode of ['cost', 'quality', 'speed', 'balanced']) {
  await check(`mode ${mode} in the body`, async () => {
    metadata((await create({ p402: { mode } })).p402_metadata, mode);
  });
}
await check('mode by header', async () => {
  const done = await create({}, { headers: { 'x-p402-mode': 'speed' } });
  metadata(done.p402_metadata, 'speed');
});
await check('n', async () => {
  const done = await create({ n: 3 });
  assert.deepEqual(done.choices.map((choice) => choice.index), [0, 1, 2]);
});
await check('logprobs', async () => {
  const done = await create({ logprobs: true, top_logprobs: 2 });
  assert.equal(done.choices[0].logprobs.content.map((piece) => piece.token).join(''), TEXT);
});
await check('vision parts', async () => {
  const content = [{ type: 'text', text: 'What?' }, { type: 'image_url', image_url: { url: PIXEL } }];
  const done = await create({ messages: [{ role: 'user', content }] });
  assert.equal(done.choices[0].message.content, TEXT);
});
await check('parallel tools', async () => {
  const messages = [{ role: 'user', content: 'Weather in Paris and in Rome, both' }];
  const done = await create({ messages, tools: [WEATHER] });
  assert.equal(done.choices[0].message.tool_calls.length, 2);
  assert.equal(done.choices[0].finish_reason, 'tool_calls');
});
await check('a custom tool', async () => {
  const custom = { type: 'custom', custom: { name: 'patch' } };
  const done = await create({ tools: [custom, WEATHER], tool_choice: custom });
  const call = done.choices[0].message.tool_calls[0];
  assert.deepEqual([call.type, call.custom.name], ['custom', 'patch']);
  assert.ok(call.custom.input && !call.custom.input.startsWith('{'));
});
await check('json_schema', async () => {
  const json_schema = { name: 'city', strict: true, schema: CITY };
  const done = await create({ response_format: { type: 'json_schema', json_schema } });
  assert.deepEqual(Object.keys(JSON.parse(done.choices[0].message.content)), ['city']);
});
await check('.parse()', async () => {
  const ask = { ...ASK, response_format: zodResponseFormat(Weather, 'weather') };
  const parse = client.chat.completions.parse
    ? client.chat.completions : client.beta.chat.completions;
  const done = await parse.parse(ask);
  Weather.parse(done.choices[0].message.parsed);
  metadata(done.p402_metadata);
});

await check('unguarded loop', async () => {
  let text = '';
  let found;
  for await (const chunk of await create({ stream: true })) {
    text += chunk.choices[0].delta.content ?? '';
    found = chunk.p402_metadata ?? found;
  }
  assert.equal(text, TEXT);
  metadata(found);
});
await check('include_usage', async () => {
  const seen = await collected(await create({ stream: true, stream_options: { include_usage: true } }));
  const last = seen.chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.total_tokens, 16);
  assert.equal(last.usage.cost, COST_USD);
  assert.equal(seen.found.length, 2);
  seen.found.forEach((each) => metadata(each));
});
await check('tool stream', async () => {
  const seen = await collected(await create({ stream: true, tools: [WEATHER], tool_choice: 'required' }));
  assert.deepEqual([seen.name, seen.finish], ['get_weather', 'tool_calls']);
  assert.deepEqual(Object.keys(JSON.parse(seen.args)), ['city']);
});
await check('.stream(): text, final completion and its metadata', async () => {
  const runner = helper(client).stream(ASK);
  let text = '';
  runner.on('content', (delta) => { text += delta; });
  const done = await runner.finalChatCompletion();
  assert.equal(text, TEXT);
  assert.equal(done.choices[0].message.content, TEXT);
  metadata(done.p402_metadata);
});
await check('.stream(), usage', async () => {
  const runner = helper(client).stream({ ...ASK, stream_options: { include_usage: true } });
  const done = await runner.finalChatCompletion();
  assert.equal(done.usage.total_tokens, 16);
  metadata(done.p402_metadata);
});
await check('.stream(), parsed', async () => {
  const runner = helper(client).stream({ ...ASK, response_format: zodResponseFormat(Weather, 'weather') });
  Weather.parse((await runner.finalChatCompletion()).choices[0].message.parsed);
});
await check('a hit, whole and streamed', async () => {
  const messages = [{ role: 'user', content: `Name three rivers of ${SDK.version}` }];
  const ask = { messages, p402: { cache: true } };
  const first = await create(ask);
  assert.equal(first.p402_metadata.cached, false);
  let again = first;
  for (let asked = 0; asked < 500 && !again.p402_metadata.cached; asked += 1) {
    again = await create(ask);
  }
  assert.deepEqual([again.p402_metadata.cached, again.p402_metadata.cost_usd], [true, 0]);
  assert.deepEqual(again.choices[0].message, first.choices[0].message);
  assert.deepEqual([again.usage.total_tokens, again.usage.cost], [first.usage.total_tokens, 0]);
  assert.notEqual(again.id, first.id);
  const { data, response } = await client.chat.completions
    .create({ ...ASK, ...ask, stream: true }).withResponse();
  assert.equal(response.headers.get('x-p402-cache'), 'exact');
  const seen = await collected(data);
  assert.deepEqual([seen.text, seen.finish], [TEXT, 'stop']);
  assert.equal(seen.found.at(-1).cached, true);
});
await check('toReadableStream', async () => {
  const stream = await create({ stream: true });
  const lines = (await new Response(stream.toReadableStream()).text()).trim().split('\n');
  metadata(JSON.parse(lines.at(-1)).p402_metadata);
});
await check('tee', async () => {
  const [left, right] = (await create({ stream: true })).tee();
  const [one, two] = await Promise.all([collected(left), collected(right)]);
  assert.deepEqual([one.text, two.text], [TEXT, TEXT]);
});
await check('runTools', async () => {
  const tool = structuredClone(WEATHER);
  tool.function.parse = JSON.parse;
  const asked = [];
  tool.function.function = ({ city }) => { asked.push(city); return 'mild'; };
  const chat = client.chat.completions.runTools ? client.chat.completions : client.beta.chat.completions;
  const runner = chat.runTools({ ...ASK, tools: [tool] });
  assert.equal(await runner.finalContent(), TEXT);
  assert.equal(asked.length, 1);
});
await check('leaving a stream early', async () => {
  const stream = await create({ stream: true });
  for await (const _ of stream) break;
  metadata((await create()).p402_metadata);
});
await check('20 at once', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => create()));
  assert.equal(new Set(all.map((done) => done.p402_metadata.request_id)).size, 20);
});

await check('models list', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes('hello'));
  assert.ok(ids.length > 300);
});
await check('models retrieve with /', async () => {
  assert.match((await client.models.retrieve('test/hello')).id, /hello/);
});

const says = (name, kind, code, work) => check(name, async () => {
  const error = await thrown(work);
  assert.equal(error.constructor, kind, `${error}`);
  if (code) assert.equal(error.code, code);
  const id = error.request_id ?? error.requestID;
  assert.match(id, /^req_/);
});
const bad = (more) => () => pinned.chat.completions.create({ ...ASK, ...more });
await says('AuthenticationError', OpenAI.AuthenticationError, 'invalid_api_key',
  () => made('wrong').chat.completions.create(ASK));
await says('BadRequestError', OpenAI.BadRequestError, 'invalid_value', bad({ n: 99 }));
await says('BadRequestError: p402 key', OpenAI.BadRequestError, 'p402_field_unknown', bad({ p402: { mood: 1 } }));
await says('NotFoundError', OpenAI.NotFoundError, 'model_not_found', () => client.models.retrieve('no/body'));
await says('NotFoundError: pinned', OpenAI.NotFoundError, 'model_not_found', bad({ model: 'nobody' }));
await says('UnprocessableEntityError', OpenAI.UnprocessableEntityError, null, bad({ model: 'fault-422' }));
await says('RateLimitError', OpenAI.RateLimitError, 'upstream_rate_limited', bad({ model: 'fault-429' }));
await says('InternalServerError', OpenAI.InternalServerError, 'all_attempts_failed', bad({ model: 'fault-500' }));
await check('APIConnectionTimeoutError', async () => {
  const options = { timeout: 300, headers: { 'x-stainless-read-timeout': '60' } };
  const error = await thrown(
    () => pinned.chat.completions.create({ ...ASK, model: 'fault-hang' }, options),
  );
  assert.equal(error.constructor, OpenAI.APIConnectionTimeoutError, `${error}`);
});
for (const fault of ['error-mid-stream', 'close-mid-stream', 'clean-cut', 'malformed-json']) {
  await check(`error frame: ${fault}`, async () => {
    const ask = { ...ASK, model: `fault-${fault}`, stream: true };
    const error = await thrown(async () => collected(await pinned.chat.completions.create(ask)));
    assert.ok(error instanceof OpenAI.APIError, `${error}`);
    assert.match(String(error.code), /^upstream_/);
  });
}
for (const fault of ['bare', 'no-role', 'empty-choices-first', 'usage-twice', 'noise', 'crlf', 'no-done']) {
  await check(`mended: ${fault}`, async () => {
    const runner = helper(pinned).stream({ ...ASK, model: `fault-${fault}` });
    const done = await runner.finalChatCompletion();
    assert.equal(done.choices[0].message.content, TEXT);
    metadata(done.p402_metadata);
  });
}
finish();
