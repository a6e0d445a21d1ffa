// Decides whether OpenRouter's provider for the AI SDK works when it is pointed at the gateway.
// Does not test the SDK: every assertion is about what the gateway sent.
import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, assert, check, finish } from './checks.mjs';

const made = (apiKey) => createOpenRouter({ baseURL: BASE_URL, apiKey, compatibility: 'strict' });
const prompt = 'Say hello.';
const maxRetries = 0;
const model = made(KEY).chat('hello', { usage: { include: true } });

await check('versions', () => assert.match(process.version, /^v22\./));
await check('generateText', async () => {
  const done = await generateText({ model, prompt, maxRetries });
  assert.equal(done.text, TEXT);
  assert.equal(done.usage.totalTokens, 16);
  assert.equal(done.providerMetadata.openrouter.usage.cost, COST_USD);
});
await check('streamText', async () => {
  const done = streamText({ model, prompt, maxRetries });
  assert.equal(await done.text, TEXT);
  assert.equal(await done.finishReason, 'stop');
  assert.equal((await done.usage).totalTokens, 16);
});
await check('tools', async () => {
  const get_weather = tool({
    inputSchema: z.object({ city: z.string() }), execute: async () => 'mild',
  });
  const done = await generateText({
    model, maxRetries, prompt: 'Weather in Paris?', tools: { get_weather },
    stopWhen: stepCountIs(3),
  });
  assert.equal(done.text, TEXT);
});
await check('error frame', async () => {
  const errors = [];
  const broken = made(PIN_KEY).chat('fault-close-mid-stream');
  const onError = ({ error }) => errors.push(error);
  const done = streamText({ model: broken, prompt, maxRetries, onError });
  for await (const _ of done.textStream);
  assert.equal(errors.length, 1);
});
finish();
