"""Decides what of the sandbox upstream is public: the server, its faults, its catalogue records.

Does not start anything on import.
"""

from p402.sandbox.fault_table import FAULTS
from p402.sandbox.faults import Fault, UnknownFaultError
from p402.sandbox.journal import Record
from p402.sandbox.models import MODELS, PROVIDERS, catalog_records
from p402.sandbox.request import Manners
from p402.sandbox.server import Sandbox, serve

__all__ = [
    "FAULTS",
    "MODELS",
    "PROVIDERS",
    "Fault",
    "Manners",
    "Record",
    "Sandbox",
    "UnknownFaultError",
    "catalog_records",
    "serve",
]
