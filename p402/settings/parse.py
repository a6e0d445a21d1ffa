"""Decides whether a configuration text is well formed: syntax, keys, types, bounds, with the line.

Does not look keys up, reach the catalogue or know what the settings are used for.
"""

from __future__ import annotations

import tomllib
from typing import Any, NoReturn, TypeVar

import msgspec

from p402.settings import schema
from p402.settings.errors import SettingsError, nearest
from p402.settings.lines import Path, key_lines

T = TypeVar("T")

_TABLES: dict[str, type] = {
    "server": schema.Server,
    "routing": schema.Routing,
    "timeouts": schema.Timeouts,
    "stream": schema.Stream,
    "limits": schema.Limits,
    "pricing": schema.Pricing,
    "sandbox": schema.Sandbox,
    "catalog": schema.CatalogFiles,
    "cors": schema.Cors,
    "guard": schema.Guard,
    "store": schema.Store,
    "ledger": schema.Ledger,
    "cache": schema.Cache,
    "alerts": schema.Alerts,
    "operator": schema.Operator,
}
_LISTS: dict[str, type] = {"model": schema.Model, "tenant": schema.Tenant}
_EVERY = (*_TABLES, "provider", *_LISTS)


class Document:
    """A parsed file that can say where a key stands."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        try:
            self.raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _syntax(error, text, name) from None
        self.lines = key_lines(text)

    def fail(self, path: Path, message: str, mend: str | None = None) -> NoReturn:
        """Raises the mistake at `path`, with the line of the nearest key that is in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        raise SettingsError(
            message, file=self.name, line=self.lines.get(known), key=spell(path), mend=mend
        )

    def file(self) -> schema.File:
        """The whole file, checked section by section."""
        for name in self.raw:
            if name not in _EVERY:
                self._unknown((), name, _EVERY)
        found: dict[str, Any] = {name: self._table(name, kind) for name, kind in _TABLES.items()}
        found |= {name: self._list(name, kind) for name, kind in _LISTS.items()}
        return schema.File(provider=self._providers(), **found)

    def _table(self, name: str, kind: type[T]) -> T:
        return self._convert((name,), self.raw.get(name, {}), kind)

    def _list(self, name: str, kind: type[T]) -> tuple[T, ...]:
        rows = self.raw.get(name, [])
        if not isinstance(rows, list):
            self.fail((name,), "must be an array of tables", f"write [[{name}]], not [{name}]")
        return tuple(self._convert((name, at), row, kind) for at, row in enumerate(rows))

    def _providers(self) -> dict[str, schema.Provider]:
        sections = self.raw.get("provider", {})
        if not isinstance(sections, dict):
            self.fail(("provider",), "must be named", "write [provider.acme]")
        found: dict[str, schema.Provider] = {}
        for name, section in sections.items():
            path = ("provider", name)
            try:
                msgspec.convert(name, schema.Name)
            except msgspec.ValidationError:
                self.fail(path, "is no provider name", "use letters, digits, '.', '_' and '-'")
            found[name] = self._convert(path, section, schema.Provider)
        return found

    def _convert(self, path: Path, raw: object, kind: type[T]) -> T:
        if not isinstance(raw, dict):
            self.fail(path, "must be a table", f"write [{spell(path)}] and its keys below it")
        self._check_keys(path, raw, kind)
        self._check_money(path, raw)
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            message, inner = _split(str(error))
            whole = (*path, *inner)
            missing = message.partition("missing required field `")[2].rstrip("`")
            if missing:
                self.fail((*whole, missing), "is required", f"add {missing} = … to this table")
            self.fail(whole, _plain(message), _mend(whole, message))

    def _check_keys(self, path: Path, raw: dict[str, Any], kind: type) -> None:
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for name, value in raw.items():
            if name not in fields:
                self._unknown(path, name, list(fields))
            inner = _table_of(fields[name])
            if inner is not None and isinstance(value, dict):
                self._check_keys((*path, name), value, inner)

    def _unknown(self, path: Path, name: str, valid: tuple[str, ...] | list[str]) -> NoReturn:
        close = nearest(name, valid)
        owners = [table for table, kind in _TABLES.items() if name in _fields(kind)]
        if owners:
            mend = f"{name} belongs into [{owners[0]}]"
        elif close:
            mend = f"did you mean {close}?"
        else:
            mend = "valid here: " + ", ".join(sorted(valid))
        self.fail((*path, name), "is not a key that P402 knows", mend)

    def _check_money(self, path: Path, raw: dict[str, Any]) -> None:
        for name, value in raw.items():
            if isinstance(value, dict):
                self._check_money((*path, name), value)
            if name.endswith(("_usd", "_usd_per_mtok")) and isinstance(value, int | float):
                self.fail(
                    (*path, name),
                    "must be a decimal string: a float cannot hold money",
                    f'put it in quotes, for example {name} = "2.50"',
                )


def spell(path: Path) -> str:
    """A path as the operator writes it: `model[0].context`."""
    told = ""
    for part in path:
        told += f"[{part}]" if isinstance(part, int) else f".{part}" if told else part
    return told


def _table_of(kind: Any) -> type | None:
    """The struct that a field holds, alone or among others."""
    kinds = getattr(kind, "__args__", (kind,))
    found = [each for each in kinds if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return found[0] if found else None


def _fields(kind: type) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind)}


def _syntax(error: tomllib.TOMLDecodeError, text: str, name: str) -> SettingsError:
    message, _, place = str(error).partition(" (at ")
    digits = place.removeprefix("line ").partition(",")[0]
    line = int(digits) if digits.isdigit() else text.count("\n") + 1
    return SettingsError(
        f"the file is no TOML: {message[:1].lower()}{message[1:]}",
        file=name,
        line=line,
        mend="strings stand in quotes, tables in [brackets], one key = value a line",
    )


def _split(text: str) -> tuple[str, Path]:
    """msgspec's message and the path at its end (`… - at `$.a[0].b``)."""
    message, _, place = text.partition(" - at `$")
    path: list[str | int] = []
    for part in place.rstrip("`").replace("[", ".[").split("."):
        if part.startswith("["):
            path.append(int(part[1:-1]) if part[1:-1].isdigit() else part[1:-1])
        elif part:
            path.append(part)
    return message, tuple(path)


_WORDS = {
    "`str | array`": "a string or a list",
    "`float | object`": "a number or a table",
    "`str`": "a string",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "a table",
    "`null`": "nothing",
}


def _plain(message: str) -> str:
    """msgspec's words in ours; never a value, since msgspec quotes none but enum words."""
    if message.startswith("Invalid enum value"):
        return "is none of the accepted words"
    if "matching regex" in message:
        return "has a form that is not accepted"
    message = message.replace(" | null", "")
    for word, told in _WORDS.items():
        message = message.replace(word, told)
    return message[:1].lower() + message[1:]


def _mend(path: Path, message: str) -> str | None:
    name = str(path[-1]) if path else ""
    if name.endswith(("_usd", "_usd_per_mtok")):
        return f'write dollars as decimal digits, for example {name} = "2.50"'
    if message.startswith("Invalid enum value"):
        return _choices(path)
    if "matching regex" in message:
        return "use letters, digits, '.', '_' and '-'"
    return None


def _choices(path: Path) -> str | None:
    section, name = str(path[0]), str(path[-1])
    kind = _TABLES.get(section) or _LISTS.get(section)
    if section == "provider":
        kind = schema.Provider
    field = (
        next((f for f in msgspec.structs.fields(kind) if f.name == name), None) if kind else None
    )
    words = sorted(_literals(field.type)) if field else []
    return "accepted: " + ", ".join(words) if words else None


def _literals(kind: Any) -> set[str]:
    inner = getattr(kind, "__args__", ())
    found = {arg for arg in inner if isinstance(arg, str)}
    for arg in inner:
        found |= _literals(arg) if not isinstance(arg, str) else set()
    return found
