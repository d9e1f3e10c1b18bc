"""Where secrets may go: the hosts that the owner of each allows, in a file beside it or in ROWRELAY_SECRET_HOSTS.

`NAME.hosts` beside the secret NAME names a host a line, or `*.example.com` for all below it; `#` begins a comment. A
secret without hosts goes where the definitions of the administrator's folders send it: who writes there decides that
anyway. Definitions come from nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from flows.errors import SecretAbroad, SettingError
from flows.pipeline import proxy
from flows.pipeline.definition import Definition
from flows.pipeline.fault import Fault
from flows.pipeline.hosts import fits, host_of, host_pattern, is_loopback, plain_host
from flows.pipeline.secret import refuse_missing_secrets, uses
from flows.settings import Settings

ENDING = ".hosts"
_MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SecretHosts:
    """The hosts that secrets may go to. `folder` has the secrets; `stated` is what the setting says, by secret."""

    folder: Path | None = None
    stated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> SecretHosts:
        """As the settings of this process say. Raises SettingError."""
        try:
            stated = {name: tuple(map(host_pattern, hosts)) for name, hosts in settings.hosts_by_secret.items()}
        except ValueError as exc:
            raise SettingError(f"ROWRELAY_SECRET_HOSTS: {exc}") from exc
        return cls(settings.secrets, stated)

    def allowed(self, name: str) -> tuple[str, ...] | None:
        """The hosts of a secret, as they are written; None where nobody has named any. Raises SettingError."""
        if (file := self._file(name)) is not None and file.is_file():
            return tuple(_written_hosts(file))
        return self.stated.get(name)

    def refusal(self, name: str, host: str, *, openly: bool = False) -> str:
        """Why a secret may not go to a host, and who may change that; "" if it may go.

        `openly`: by plain http, which everybody on the way can read.
        """
        try:
            hosts = self.allowed(name)
        except SettingError as exc:
            return f"the secret {name} goes nowhere, since its hosts cannot be read: {exc.message}"
        if hosts is None:
            return ""
        if any(fits(host, each) for each in hosts):
            if not openly or is_loopback(host):
                return ""
            return (
                f"the secret {name}, whose hosts are named, may not go to {host} by http://, which everybody on the way"
                " can read; write https://"
            )
        listed = ", ".join(hosts) or "no host at all"
        return f"the secret {name} may not go to {host}, only to {listed}; {self._to_allow(name, host)}"

    def faults(self, definition: Definition) -> Iterator[Fault]:
        """Every place from which a secret would go where it may not."""
        for use in dict.fromkeys(uses(definition)):
            if not (host := host_of(use.url)):
                continue
            to_proxy = use.place == ("proxy",)
            openly = use.url[:5].lower() == "http:" and not to_proxy  # the way to a proxy is its owner's affair
            if why := self.refusal(use.secret, host, openly=openly):
                yield Fault(use.place, why)
            elif openly and (by := proxy.host_of(definition.proxy)) and (why := self.refusal(use.secret, by)):
                yield Fault(use.place, f"by the proxy, {why}")

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


def refuse_secrets(definition: Definition, settings: Settings) -> None:
    """Raises SecretMissing or SecretAbroad where a secret is not there, or may not go where the definition says."""
    refuse_missing_secrets(definition, settings)
    SecretHosts.of(settings).refuse(definition)


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
        key = (names, request.url.raw_scheme + b"://" + request.url.raw_host)
        if (known := self._known.get(key)) is None:
            host = plain_host(request.url.raw_host.decode("ascii"))
            openly = request.url.scheme == "http"
            known = next((why for name in names if (why := self._hosts.refusal(name, host, openly=openly))), "")
            if len(self._known) < 1000:
                self._known[key] = known
        return known


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
