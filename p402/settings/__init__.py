"""Decides what the shell knows of the operator's wishes: one frozen `Settings`, made by `load`.

Does not act on them: no socket, no process. The only package that reads environment and files.
"""

from p402.settings.errors import SettingsError
from p402.settings.guard import limits
from p402.settings.keys import Secret
from p402.settings.model import (
    Alerts,
    Sandbox,
    Settings,
    Tenant,
    catalogued_offers,
    catalogued_providers,
)
from p402.settings.sources import bare_environment, load

__all__ = [
    "Alerts",
    "Sandbox",
    "Secret",
    "Settings",
    "SettingsError",
    "Tenant",
    "bare_environment",
    "catalogued_offers",
    "catalogued_providers",
    "limits",
    "load",
]
