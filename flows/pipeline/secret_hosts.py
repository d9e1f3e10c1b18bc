"""Where secrets may go: the hosts that the owner of each allows, in a file beside it or in ROWRELAY_SECRET_HOSTS.

`NAME.hosts` beside the secret NAME names a host a line, or `*.example.com` for all below it; `#` begins a comment. A
secret without hosts goes where the definitions of the administrator's folders send it: who writes there decides that
anyway. A definition that came in over the dashboard or over HTTP (`outside`) may use no such secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from flows.errors import SecretAbroad, SettingError
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Fault, brief
from flows.pipeline.secret import refuse_missing_secrets, uses
from flows.settings import Settings

ENDING = ".hosts"
_MOST_BYTES = 65_536
_NAME = re.compile(r"(\*\.)?[^\s*/?#@\\\[\]%:]+")


@dataclass(frozen=True, slots=True)
class SecretHosts:
    """The hosts that secrets may go to. `folder` has the secrets; `stated` is what the setting says, by secret."""

    folder: Path | None = None
    stated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outside: bool = False

    @classmethod
    def of(cls, settings: Settings, *, outside: bool = False) -> SecretHosts:
        """As the settings of this process say. `outside`: for a definition that came in over dashboard or HTTP.

        Raises SettingError.
        """
        try:
            stated = {name: tuple(map(host_pattern, hosts)) for name, hosts in settings.hosts_by_secret.items()}
        except ValueError as exc:
            raise SettingError(f"ROWRELAY_SECRET_HOSTS: {exc}") from exc
        return cls(settings.secrets, stated, outside)

    def allowed(self, name: str) -> tuple[str, ...] | None:
        """The hosts of a secret, as they are written; None where nobody has named any. Raises SettingError."""
        if (file := self._file(name)) is not None and file.is_file():
            return tuple(_written_hosts(file))
        return self.stated.get(name)

    def refusal(self, name: str, host: str) -> str:
        """Why a secret may not go to a host, and who may change that; "" if it may go."""
        try:
            hosts = self.allowed(name)
        except SettingError as exc:
            return f"the secret {name} goes nowhere, since its hosts cannot be read: {exc.message}"
        if hosts is None:
            if not self.outside:
                return ""
            return (
                f"the secret {name} names no hosts, and without them it goes into no definition that was made in the"
                f" dashboard or over HTTP; {self._to_allow(name, host)}"
            )
        if any(_fits(host, each) for each in hosts):
            return ""
        listed = ", ".join(hosts) or "no host at all"
        return f"the secret {name} may not go to {host}, only to {listed}; {self._to_allow(name, host)}"

    def faults(self, definition: Definition) -> Iterator[Fault]:
        """Every place from which a secret would go where it may not."""
        for use in dict.fromkeys(uses(definition)):
            if (host := host_of(use.url)) and (why := self.refusal(use.secret, host)):
                yield Fault(use.place, why)

    def refuse(self, definition: Definition) -> None:
        """Raises SecretAbroad for the first secret that would go where it may not."""
        if (fault := next(self.faults(definition), None)) is not None:
            raise SecretAbroad(f"Pipeline {definition.name}, {fault.key}: {fault.message}.")

    def _file(self, name: str) -> Path | None:
        return self.folder / f"{name}{ENDING}" if self.folder else None

    def _to_allow(self, name: str, host: str) -> str:
        """What lets it go there."""
        file = self._file(name)
        if file is not None and (file.is_file() or file.with_name(name).is_file()):
            return f"if that is meant, whoever keeps the secrets writes the line {host} into {file}"
        return f"if that is meant, whoever keeps the secrets adds {name}={host} to ROWRELAY_SECRET_HOSTS"


UNRESTRICTED = SecretHosts()


def refuse_secrets(definition: Definition, settings: Settings, *, outside: bool = False) -> None:
    """Raises SecretMissing or SecretAbroad where a secret is not there, or may not go where the definition says."""
    refuse_missing_secrets(definition, settings)
    SecretHosts.of(settings, outside=outside).refuse(definition)


class Guard:
    """What stands between secrets and the network: asked of each request right before it goes. Its answers stand."""

    def __init__(self, hosts: SecretHosts, secrets: Iterable[str]) -> None:
        self._hosts, self._all = hosts, tuple(secrets)
        self._known: dict[tuple[tuple[str, ...], bytes], str] = {}

    def refusal(self, request: httpx.Request) -> str:
        """Why the secrets in a request may not go where it goes; "" if they may.

        `extensions` say which they are, as `secrets`. Where nothing is said it may be any that the definition has.
        """
        names: tuple[str, ...] = request.extensions.get("secrets", self._all)
        if not names:
            return ""
        key = (names, request.url.raw_host)
        if (known := self._known.get(key)) is None:
            host = _plain(request.url.raw_host.decode("ascii"))
            known = next((why for name in names if (why := self._hosts.refusal(name, host))), "")
            if len(self._known) < 1000:
                self._known[key] = known
        return known


def host_of(url: str) -> str:
    """The host of an address whose path may hold placeholders, as names are compared; "" where it has none."""
    authority = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", url)
    try:
        return _plain(urlsplit(authority[0]).hostname or "") if authority else ""
    except ValueError:
        return ""


def host_pattern(text: str) -> str:
    """A line of hosts as it is compared. Raises ValueError if it is none."""
    if not (_NAME.fullmatch(text) or _is_address(text)):
        raise ValueError(f"{brief(text)} is no host; write one such as api.example.com, or *.example.com")
    below, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return below + _plain(name.strip("[]"))


def _fits(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and host != pattern[1:]
    return host == pattern


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return False


def _plain(host: str) -> str:
    """A host as names are compared: small letters, other alphabets as the network writes them, no dot at the end."""
    name = host.casefold().rstrip(".")
    try:
        return httpx.URL(f"http://[{name}]/" if ":" in name else f"http://{name}/").raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        return name


def _written_hosts(file: Path) -> Iterator[str]:
    """The hosts in a file. Raises SettingError."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise SettingError(f"{file}: {why}") from exc
    for number, line in enumerate(text.splitlines(), start=1):
        if written := line.partition("#")[0].strip():
            try:
                yield host_pattern(written)
            except ValueError as exc:
                raise SettingError(f"{file}:{number}: {exc}") from exc
