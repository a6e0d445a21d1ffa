// Decides whether LangChain for JavaScript works unchanged.
// Does not test LangChain: every assertion is about what the gateway sent.
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';
import {
  BASE_URL, KEY, PIN_KEY, TEXT, WEATHER, assert, check, finish, thrown,
} from './checks.mjs';

const made = (more = {}, configuration = {}) => new ChatOpenAI({
  model: 'hello', apiKey: KEY, maxRetries: 0, ...more,
  configuration: { baseURL: BASE_URL, ...configuration },
});

await check('versions', () => assert.match(process.version, /^v22\./));
await check('invoke', async () => {
  const done = await made().invoke('Say hello.');
  assert.equal(done.content, TEXT);
  assert.equal(done.usage_metadata.total_tokens, 16);
});
await check('mode by header', async () => {
  const chat = made({}, { defaultHeaders: { 'x-p402-mode': 'cost' } });
  assert.equal((await chat.invoke('Say hello.')).content, TEXT);
});
await check('stream', async () => {
  let whole;
  for await (const chunk of await made().stream('Say hello.')) {
    whole = whole ? whole.concat(chunk) : chunk;
  }
  assert.equal(whole.content, TEXT);
  assert.equal(whole.usage_metadata.total_tokens, 16);
});
await check('tools', async () => {
  const done = await made().bindTools([WEATHER]).invoke('Weather in Paris?');
  assert.equal(done.tool_calls[0].name, 'get_weather');
  assert.deepEqual(Object.keys(done.tool_calls[0].args), ['city']);
});
await check('structured', async () => {
  const Weather = z.object({ city: z.string(), celsius: z.number() });
  Weather.parse(await made().withStructuredOutput(Weather, { name: 'w' }).invoke('Weather?'));
});
await check('a refusal', async () => {
  const error = await thrown(() => made({ apiKey: 'wrong' }).invoke('Say hello.'));
  assert.equal(error.status, 401);
});
await check('error frame', async () => {
  const chat = made({ apiKey: PIN_KEY, model: 'fault-close-mid-stream' });
  await thrown(async () => {
    for await (const _ of await chat.stream('Say hello.'));
  });
});
finish();
