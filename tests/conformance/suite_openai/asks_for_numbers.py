"""Decides that openai-python asks for numbers where it would ask for base64 of its own accord.

Does not touch what it does with the answer. A plugin of a pytest run: `-p asks_for_numbers`.
"""

from __future__ import annotations

from functools import partialmethod

from openai.resources.embeddings import AsyncEmbeddings, Embeddings

for resource in (Embeddings, AsyncEmbeddings):
    resource.create = partialmethod(resource.create, encoding_format="float")
