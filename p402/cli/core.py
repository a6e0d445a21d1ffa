"""Decides how the verbs that need no server reach the core: one gateway that is never started.

Does not open a socket; without keys or sandbox it can still explain and list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p402.settings import SettingsError, catalogued_providers

if TYPE_CHECKING:
    from p402 import _core
    from p402.settings import Settings

# A dry run never dials: the sandbox's place in the catalogue is enough.
NOWHERE = "http://127.0.0.1:9/v1"


def gateway(settings: Settings, *, every_key: bool = False) -> _core.Gateway:
    """A core with these settings; `every_key` pretends that each provider has one, and needs no
    sandbox to stand in."""
    from p402 import _core

    if settings.sandbox.enabled and settings.sandbox.url is None and not every_key:
        settings = settings.with_sandbox(NOWHERE)
    pretend = catalogued_providers() if every_key else ()
    try:
        return _core.Gateway(
            settings.core_config(pretend=pretend), catalog=settings.catalog_layers()
        )
    except ValueError as error:
        raise SettingsError(str(error), file=settings.file) from None
