"""Decides how recorded provider traffic is laid out for the Rust test that replays it.

Does not fetch it (`make tapes` does) and is no test: nothing of it is ever committed. It counts
usage from the recording by itself, so that the codecs have somebody to agree with.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]  # installed beside the tapes

SDISTS = {
    "langchain_anthropic-1.7.10.tar.gz": "anthropic",
    "langchain_aws-1.9.1.tar.gz": "bedrock",
    "langchain_openai-1.7.4.tar.gz": "openai",
}


# What tells a request of an API that clients come in by from one of any other.
DOORS = {"anthropic": ("messages", "max_tokens"), "openai": ("responses", "input")}


def main(folder: Path) -> None:
    """Writes `LANGUAGE/NNN.{json,sse,frames}` and `NNN.usage` for every answered exchange that
    could be a provider's, and `DOOR/NNN.request` for every one that could be a client's."""
    for name, language in SDISTS.items():
        out = folder / language
        out.mkdir(exist_ok=True)
        door, mark = DOORS.get(language, ("", ""))
        (folder / door).mkdir(exist_ok=True)
        answered = asked = 0
        for request, response in _recorded(folder / name):
            if language != "openai" or "messages" in request:
                answered += _exchange(response, out, answered)
            if mark in request and "encoding_format" not in request:
                (folder / door / f"{asked:03}.request").write_text(json.dumps(request))
                asked += 1
        print(f"{language}: {answered} exchanges, {asked} requests for a door")


def _recorded(sdist: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What was asked, as the members of its body, and what was answered."""
    with tarfile.open(sdist) as source:
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            file = source.extractfile(member)
            if "/cassettes/" not in member.name or file is None:
                continue
            tape = yaml.safe_load(gzip.decompress(file.read()))
            for request, response in zip(tape["requests"], tape["responses"], strict=True):
                body = request["body"]
                is_json = body and body[:1] in ("{", b"{")
                yield (json.loads(body) if is_json else {}), response


def _exchange(response: dict[str, Any], out: Path, number: int) -> int:
    body = response["body"]["string"]
    raw = body.encode() if isinstance(body, str) else body
    if response["status"]["code"] != 200 or not raw:
        return 0
    if raw.startswith(b"{"):
        kind, usages = "json", [json.loads(raw)["usage"]]
    elif raw.startswith((b"event:", b"data:")):
        kind, usages = "sse", [_usage_of(event) for event in _events(raw)]
    else:
        kind, usages = "frames", [message.get("usage", {}) for message in _messages(raw)]
    (out / f"{number:03}.{kind}").write_bytes(raw)
    (out / f"{number:03}.usage").write_text(json.dumps(_counts(usages)))
    return 1


def _events(raw: bytes) -> list[Any]:
    lines = raw.decode().splitlines()
    events = [line[6:] for line in lines if line.startswith("data: ")]
    return [json.loads(event) for event in events if event != "[DONE]"]


def _usage_of(event: dict[str, Any]) -> dict[str, Any]:
    return event.get("usage") or event.get("message", {}).get("usage") or {}


def _messages(raw: bytes) -> list[Any]:
    found, at = [], 0
    while at < len(raw):
        total, headers = struct.unpack(">II", raw[at : at + 8])
        found.append(json.loads(raw[at + 12 + headers : at + total - 4]))
        at += total
    return found


def _counts(usages: list[dict[str, Any]]) -> dict[str, int]:
    """Fresh input, cache reads, cache writes, output: the last count that is not null.

    Where passes are listed they are what is billed: the counts beside them leave compaction out.
    """
    last: dict[str, Any] = {}
    for usage in usages:
        last |= {key: value for key, value in usage.items() if value is not None}
    if "prompt_tokens" in last:
        cached = (last.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        fresh, output = last["prompt_tokens"] - cached, last["completion_tokens"]
        return {"fresh": fresh, "cache_read": cached, "cache_write": 0, "output": output}
    passes: list[dict[str, Any]] = last.get("iterations") or [last]
    names = {
        "fresh": ("input_tokens", "inputTokens"),
        "cache_read": ("cache_read_input_tokens", "cacheReadInputTokens"),
        "cache_write": ("cache_creation_input_tokens", "cacheWriteInputTokens"),
        "output": ("output_tokens", "outputTokens"),
    }
    return {
        ours: sum(_first(a_pass, theirs) for a_pass in passes) for ours, theirs in names.items()
    }


def _first(counts: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((int(counts[name]) for name in names if name in counts), 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
