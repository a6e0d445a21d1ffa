"""Decides in which data directory a gateway opens, and what happens where another one has it.

Does not write there: accounts and the ledger are the core's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from p402._core import Gateway
from p402.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from p402.settings import Settings

# Read by the core when a question is first to be found by its meaning.
_ENCODER = Path(__file__).parent / "embedder" / "minilm-l6-i8.bin"
NO_ENCODER = (
    "this installation has no weights of the sentence encoder: the cache answers the same question "
    "again, not the same one in other words (`make embedder` before `pip install .` adds them)"
)
# Removed when the process ends, and not before.
_borrowed: list[tempfile.TemporaryDirectory[str]] = []


def open_gateway(settings: Settings, tell: Callable[[str], None]) -> Gateway:
    """A gateway with its ledger. A directory that somebody named is used or refused; beside the
    sandbox alone, whose money is made up, a second process gets one that lasts as long as it."""
    if not _ENCODER.exists():
        tell(NO_ENCODER)
    try:
        return _opened(settings, str(settings.data_dir))
    except BlockingIOError as error:
        if settings.store.data_dir is not None or settings.providers:
            raise SettingsError(
                str(error),
                file=settings.file,
                key="store.data_dir",
                mend="name another one: [store] data_dir, or P402_DATA_DIR",
            ) from None
    folder = tempfile.TemporaryDirectory(prefix="p402-")
    _borrowed.append(folder)
    tell(
        f"{settings.data_dir} is in use by another p402; the sandbox's ledger of this one is in "
        f"{folder.name} until it ends"
    )
    return _opened(settings, folder.name)


def _opened(settings: Settings, folder: str) -> Gateway:
    return Gateway(
        settings.core_config(),
        catalog=settings.catalog_layers(),
        data_dir=folder,
        embedder=_ENCODER,
    )
