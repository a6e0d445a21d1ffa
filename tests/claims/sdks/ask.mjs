// Decides how a Node SDK asks a gateway, one line of JSON in, one out; it retries as it likes.
// Does not judge: whoever starts it notes each try at the gateway's own door.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const RETRIES = 2;
const name = process.argv[2];
const { default: Client } = await import(name);
const url = new URL(`./node_modules/${name}/package.json`, import.meta.url);
const say = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);

async function ask({ base_url: baseURL, key: apiKey, body, headers }, maxRetries = RETRIES) {
  const client = new Client({ baseURL, apiKey, maxRetries, timeout: 60_000 });
  try {
    if (name === 'openai') await client.chat.completions.create(body, { headers });
    // The same machinery that its own methods retry by, on a path that is here.
    else await client.post('/chat/completions', { body, headers });
  } catch (error) {
    if (!(error instanceof Client.APIError)) throw error;
    return error.code ?? error.error?.error?.code ?? 'none';
  }
  return '';
}

say({ version: JSON.parse(readFileSync(url)).version });
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.begin) {
    ask(asked, 0).catch(() => {});
    say({});
  } else {
    say({ code: await ask(asked) });
  }
}
process.exit(0);
