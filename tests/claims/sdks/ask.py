"""Decides how a Python SDK asks a gateway, one line of JSON in, one out; it retries as it likes.

Does not judge: whoever starts it notes each try at the gateway's own door.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys

RETRIES = 2


def made(sdk, case, retries):
    """A client as anybody makes one."""
    kind = {"openai": "AsyncOpenAI", "anthropic": "AsyncAnthropic"}[sdk.__name__]
    options = {"api_key": case["key"], "base_url": case["base_url"], "timeout": 60.0}
    return getattr(sdk, kind)(**options, max_retries=retries)


async def ask(sdk, case, retries=RETRIES):
    """One call; the code it was refused with, empty for an answer."""
    client = made(sdk, case, retries)
    headers = case["headers"]
    try:
        if sdk.__name__ == "openai":
            await client.chat.completions.create(**case["body"], extra_headers=headers)
        else:
            # The same machinery that its own methods retry by, on a path that is here.
            options = {"headers": headers}
            body = case["body"]
            await client.post("/chat/completions", cast_to=object, body=body, options=options)
    except sdk.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return body.get("error", body).get("code", "none")
    return ""


async def main():
    """Lines until there are no more; a call that is only begun is left to itself."""
    sdk = importlib.import_module(sys.argv[1])
    begun = []
    print(json.dumps({"version": sdk.__version__}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        case = json.loads(line)
        if case["begin"]:
            begun.append(asyncio.ensure_future(ask(sdk, case, 0)))
            told = {}
        else:
            told = {"code": await ask(sdk, case)}
        print(json.dumps(told), flush=True)
    for each in begun:
        each.cancel()


asyncio.run(main())
