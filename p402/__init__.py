"""Decides the package's public names: its version and the factory of the ASGI application.

Does not import the Rust core or any dependency: `import p402` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p402.app import create_app

__all__ = ["__version__", "create_app"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from p402.app import create_app  # noqa: PLC0415  (the core loads when it is first wanted)

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
