// Decides whether OpenAI's Responses API works as its SDK for Node uses it.
// Does not test the SDK: every assertion is about what the gateway sent.
import OpenAI from 'openai';
import {
  BASE_URL, CITY, KEY, PIN_KEY, TEXT, assert, check, finish, metadata, thrown,
} from './checks.mjs';

const made = (apiKey) => new OpenAI({ baseURL: BASE_URL, apiKey, maxRetries: 0, timeout: 20_000 });
const client = made(KEY);
const pinned = made(PIN_KEY);
const ASK = { model: 'hello', input: 'Say hello.' };
const TOOL = { type: 'function', name: 'get_weather', parameters: CITY, strict: true };
const CALLED = { model: 'hello', input: 'Weather in Paris?', tools: [TOOL], tool_choice: 'required' };

await check('text', async () => {
  const done = await client.responses.create(ASK);
  assert.equal(done.output_text, TEXT);
  assert.equal(done.usage.total_tokens, 16);
  metadata(done.p402_metadata);
});
await check('stream', async () => {
  let text = '';
  let last;
  for await (const event of await client.responses.create({ ...ASK, stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event;
  }
  assert.equal(text, TEXT);
  assert.equal(last.type, 'response.completed');
  metadata(last.response.p402_metadata);
});
await check('.stream()', async () => {
  const final = await client.responses.stream(ASK).finalResponse();
  assert.equal(final.output_text, TEXT);
});
await check('tools', async () => {
  const done = await client.responses.create(CALLED);
  assert.deepEqual(Object.keys(JSON.parse(done.output.at(-1).arguments)), ['city']);
});
await check('.stream(), tools', async () => {
  const final = await client.responses.stream(CALLED).finalResponse();
  assert.deepEqual(Object.keys(JSON.parse(final.output.at(-1).arguments)), ['city']);
});
const PATCH = { type: 'custom', name: 'patch', description: 'Changes a file.' };
for (const model of ['hello', 'custom-x', 'anthropic-x']) {
  const of = model === 'hello' ? client : pinned;
  const ask = { model, input: 'Mend it.', tools: [PATCH], tool_choice: { type: 'custom', name: 'patch' } };
  await check(`custom tool: ${model}`, async () => {
    const call = (await of.responses.create(ask)).output.at(-1);
    assert.deepEqual([call.type, call.name], ['custom_tool_call', 'patch']);
    assert.ok(call.input && !call.input.startsWith('{'), call.input);
  });
  await check(`custom tool, stream: ${model}`, async () => {
    let told = '';
    let last;
    for await (const event of await of.responses.create({ ...ask, stream: true })) {
      if (event.type === 'response.custom_tool_call_input.delta') told += event.delta;
      last = event;
    }
    const call = last.response.output.at(-1);
    assert.deepEqual([call.type, call.input], ['custom_tool_call', told]);
    assert.ok(told);
  });
}
await check('a choice among some tools', async () => {
  const some = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'get_weather' }] };
  const done = await client.responses.create({ ...CALLED, tools: [PATCH, TOOL], tool_choice: some });
  assert.equal(done.output.at(-1).name, 'get_weather');
});
await check('a kept response', async () => {
  const error = await thrown(() => client.responses.create({ ...ASK, previous_response_id: 'x' }));
  assert.equal(error.code, 'unsupported_parameter');
});
for (const fault of ['error-mid-stream', 'close-mid-stream']) {
  await check(`error event: ${fault}`, async () => {
    const error = await thrown(async () => {
      const ask = { model: `fault-${fault}`, input: 'Hi', stream: true };
      for await (const _ of await pinned.responses.create(ask));
    });
    assert.ok(error instanceof OpenAI.APIError, `${error}`);
  });
}
finish();
