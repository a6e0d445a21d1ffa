// Decides whether the Vercel AI SDK works unchanged, through both of its OpenAI providers.
// Does not test the SDK: every assertion is about what the gateway sent.
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import {
  BASE_URL, CITY, KEY, PIN_KEY, TEXT, assert, check, finish, metadata, thrown,
} from './checks.mjs';

const metadataExtractor = {
  extractMetadata: async ({ parsedBody }) => ({ p402: parsedBody.p402_metadata }),
  createStreamExtractor: () => {
    let found;
    return {
      processChunk: (chunk) => { found = chunk.p402_metadata ?? found; },
      buildMetadata: () => ({ p402: found }),
    };
  },
};
const compatible = (apiKey) => createOpenAICompatible({
  name: 'p402gate', baseURL: BASE_URL, apiKey, includeUsage: true,
  supportsStructuredOutputs: true, metadataExtractor,
});
const plain = createOpenAI({ baseURL: BASE_URL, apiKey: KEY });
const MODELS = {
  compatible: compatible(KEY)('hello'),
  'openai().chat': plain.chat('hello'),
};
const prompt = 'Say hello.';
const maxRetries = 0;
const get_weather = tool({
  description: 'The weather of a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `mild in ${city}`,
});

await check('versions', () => assert.match(process.version, /^v22\./));
for (const [name, model] of Object.entries(MODELS)) {
  await check(`${name}: generateText`, async () => {
    const done = await generateText({ model, prompt, maxRetries });
    assert.equal(done.text, TEXT);
    assert.equal(done.finishReason, 'stop');
    assert.deepEqual([done.usage.inputTokens, done.usage.outputTokens], [11, 5]);
    assert.match(done.response.headers['x-p402-request-id'], /^req_/);
  });
  await check(`${name}: streamText`, async () => {
    const done = streamText({ model, prompt, maxRetries });
    let text = '';
    for await (const piece of done.textStream) text += piece;
    assert.equal(text, TEXT);
    assert.equal(await done.finishReason, 'stop');
    assert.equal((await done.usage).totalTokens, 16);
    assert.match((await done.response).headers['x-p402-request-id'], /^req_/);
  });
  await check(`${name}: tools, two steps`, async () => {
    const done = await generateText({
      model, maxRetries, prompt: 'Weather in Paris?', tools: { get_weather },
      stopWhen: stepCountIs(3),
    });
    assert.equal(done.steps.length, 2);
    assert.equal(done.steps[0].toolCalls[0].toolName, 'get_weather');
    assert.equal(done.text, TEXT);
  });
  await check(`${name}: tools, stream`, async () => {
    const done = streamText({
      model, maxRetries, prompt: 'Weather in Paris?', tools: { get_weather },
      stopWhen: stepCountIs(3),
    });
    assert.equal(await done.text, TEXT);
    assert.equal((await done.steps)[0].finishReason, 'tool-calls');
  });
  await check(`${name}: object`, async () => {
    const done = await generateObject({ model, prompt, maxRetries, schema: jsonSchema(CITY) });
    assert.deepEqual(Object.keys(done.object), ['city']);
  });
}
await check('compatible: metadata', async () => {
  const done = await generateText({ model: MODELS.compatible, prompt, maxRetries });
  metadata(done.providerMetadata.p402);
});
await check('compatible: metadata, stream', async () => {
  const done = streamText({ model: MODELS.compatible, prompt, maxRetries });
  await done.consumeStream();
  metadata((await done.providerMetadata).p402);
});
await check('compatible: mode by provider options', async () => {
  const providerOptions = { p402gate: { p402: { mode: 'cost' } } };
  const done = await generateText({
    model: MODELS.compatible, prompt, maxRetries, providerOptions,
  });
  metadata(done.providerMetadata.p402, 'cost');
});
await check('openai().chat: mode by header, metadata in the raw chunks', async () => {
  const done = streamText({
    model: MODELS['openai().chat'], prompt, maxRetries, includeRawChunks: true,
    headers: { 'x-p402-mode': 'cost' },
  });
  let found;
  for await (const part of done.fullStream) {
    if (part.type === 'raw') found = part.rawValue.p402_metadata ?? found;
  }
  metadata(found, 'cost');
});
await check('a refusal is an error with its code', async () => {
  const model = compatible('wrong')('hello');
  const error = await thrown(() => generateText({ model, prompt, maxRetries }));
  assert.equal(error.statusCode, 401);
  assert.equal(JSON.parse(error.responseBody).error.code, 'invalid_api_key');
});
for (const fault of ['error-mid-stream', 'close-mid-stream', 'clean-cut']) {
  for (const [name, made] of [
    ['compatible', compatible(PIN_KEY)],
    ['openai().chat', createOpenAI({ baseURL: BASE_URL, apiKey: PIN_KEY }).chat],
  ]) {
    await check(`${name}: error frame: ${fault}`, async () => {
      const errors = [];
      const onError = ({ error }) => errors.push(error);
      const done = streamText({ model: made(`fault-${fault}`), prompt, maxRetries, onError });
      for await (const _ of done.textStream);
      assert.equal(errors.length, 1);
      assert.notEqual(await done.finishReason.then((r) => r, () => 'error'), 'stop');
    });
  }
}
finish();
