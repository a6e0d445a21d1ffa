// Decides whether the Anthropic SDK for Node works unchanged against any provider's models.
// Does not test the SDK: every assertion is about what the gateway sent.
import Anthropic from '@anthropic-ai/sdk';
import {
  BASE_URL, CITY, HELLO, KEY, PIN_KEY, TEXT, assert, check, finish, metadata, thrown,
} from './checks.mjs';

const made = (apiKey) => new Anthropic({ baseURL: BASE_URL, apiKey, maxRetries: 0, timeout: 20_000 });
const client = made(KEY);
const pinned = made(PIN_KEY);
const ASK = { model: 'hello', max_tokens: 100, messages: HELLO };
const TOOL = { name: 'get_weather', description: 'The weather of a city.', input_schema: CITY };
const WEATHER_ASK = { ...ASK, messages: [{ role: 'user', content: 'Weather in Paris?' }] };
const CALLED = { ...WEATHER_ASK, tools: [TOOL], tool_choice: { type: 'any' } };

await check('node', () => assert.match(process.version, /^v22\./));
await check('non-stream', async () => {
  const done = await client.messages.create(ASK);
  assert.equal(done.content[0].text, TEXT);
  assert.equal(done.stop_reason, 'end_turn');
  assert.deepEqual([done.usage.input_tokens, done.usage.output_tokens], [11, 5]);
  metadata(done.p402_metadata);
});
await check('headers', async () => {
  const { data, response } = await client.messages.create(ASK).withResponse();
  assert.equal(response.headers.get('x-request-id'), data.p402_metadata.request_id);
});
await check('counting', async () => {
  const { messages } = ASK;
  const count = await client.messages.countTokens({ model: 'hello', messages });
  assert.ok(count.input_tokens > 5 && count.input_tokens < 100);
});
await check('the p402 field', async () => {
  const done = await client.messages.create({ ...ASK, p402: { mode: 'cost' } });
  metadata(done.p402_metadata, 'cost');
});
await check('raw stream', async () => {
  let text = '';
  let found;
  for await (const event of await client.messages.create({ ...ASK, stream: true })) {
    if (event.type === 'content_block_delta') text += event.delta.text;
    if (event.type === 'message_delta') found = event.p402_metadata;
  }
  assert.equal(text, TEXT);
  metadata(found);
});
await check('.stream()', async () => {
  const final = await client.messages.stream(ASK).finalMessage();
  assert.equal(final.content[0].text, TEXT);
  assert.equal(final.stop_reason, 'end_turn');
});
await check('tools', async () => {
  const done = await client.messages.create(CALLED);
  assert.equal(done.stop_reason, 'tool_use');
  assert.deepEqual(Object.keys(done.content.at(-1).input), ['city']);
});
await check('tools, stream', async () => {
  const final = await client.messages.stream(CALLED).finalMessage();
  assert.equal(final.stop_reason, 'tool_use');
  assert.deepEqual(Object.keys(final.content.at(-1).input), ['city']);
});
await check('tool result', async () => {
  const called = await client.messages.create(CALLED);
  const result = { type: 'tool_result', tool_use_id: called.content.at(-1).id, content: '18' };
  const messages = [
    ...WEATHER_ASK.messages,
    { role: 'assistant', content: called.content },
    { role: 'user', content: [result] },
  ];
  const done = await client.messages.create({ ...ASK, messages, tools: [TOOL] });
  assert.equal(done.content[0].text, TEXT);
});
await check('models', async () => {
  const ids = [];
  for await (const model of client.models.list({ limit: 5 })) ids.push(model.id);
  assert.ok(ids.includes('hello') && ids.length > 5, `${ids}`);
  assert.equal((await client.models.retrieve('test/hello')).max_tokens, 16_384);
});
await check('a wrong key', async () => {
  const error = await thrown(() => made('wrong').messages.create(ASK));
  assert.ok(error instanceof Anthropic.AuthenticationError);
  assert.equal(error.error.error.type, 'authentication_error');
});
for (const fault of ['error-mid-stream', 'close-mid-stream', 'clean-cut']) {
  await check(`error event: ${fault}`, async () => {
    const error = await thrown(async () => {
      const ask = { ...ASK, model: `fault-${fault}`, stream: true };
      for await (const _ of await pinned.messages.create(ask));
    });
    assert.ok(error instanceof Anthropic.APIError, `${error}`);
  });
}
for (const [fault, kind] of [['400', 'BadRequestError'], ['429', 'RateLimitError']]) {
  await check(`upstream ${fault}`, async () => {
    const error = await thrown(() => pinned.messages.create({ ...ASK, model: `fault-${fault}` }));
    assert.ok(error instanceof Anthropic[kind], `${error}`);
    assert.equal(error.error.type, 'error');
  });
}
finish();
