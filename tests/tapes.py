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
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]  # installed beside the tapes

SDISTS = {
    "langchain_anthropic-1.7.10.tar.gz": "anthropic",
    "langchain_aws-1.9.1.tar.gz": "bedrock",
}


def main(folder: Path) -> None:
    """Writes `LANGUAGE/NNN.{json,sse,frames}` and `NNN.usage` for every answered exchange."""
    for name, language in SDISTS.items():
        out = folder / language
        out.mkdir(exist_ok=True)
        count = 0
        with tarfile.open(folder / name) as sdist:
            members = sorted(sdist.getmembers(), key=lambda member: member.name)
            for member in members:
                file = sdist.extractfile(member)
                if "/cassettes/" not in member.name or file is None:
                    continue
                tape = yaml.safe_load(gzip.decompress(file.read()))
                for response in tape["responses"]:
                    count += _exchange(response, out, count)
        print(f"{language}: {count} exchanges in {out}")


def _exchange(response: dict[str, Any], out: Path, number: int) -> int:
    body = response["body"]["string"]
    raw = body.encode() if isinstance(body, str) else body
    if response["status"]["code"] != 200 or not raw:
        return 0
    if raw.startswith(b"{"):
        kind, usages = "json", [json.loads(raw)["usage"]]
    elif raw.startswith(b"event:"):
        kind, usages = "sse", [_usage_of(event) for event in _events(raw)]
    else:
        kind, usages = "frames", [message.get("usage", {}) for message in _messages(raw)]
    (out / f"{number:03}.{kind}").write_bytes(raw)
    (out / f"{number:03}.usage").write_text(json.dumps(_counts(usages)))
    return 1


def _events(raw: bytes) -> list[Any]:
    lines = raw.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


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
