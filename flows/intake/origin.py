"""Where files come from: a local folder, a folder that fsspec reaches (s3://…), or one file at an http(s) address."""

from __future__ import annotations

import re
from pathlib import Path

from flows.errors import FileError, SecretAbroad
from flows.intake.folder import Folder
from flows.intake.incoming import Origin
from flows.intake.web import Web
from flows.masking import Masker
from flows.pipeline.definition import Definition
from flows.pipeline.hosts import host_of
from flows.pipeline.secret import secret
from flows.pipeline.secret_hosts import SecretHosts
from flows.private import private_folder
from flows.settings import Settings
from flows.storage.access import below
from flows.storage.storage import reached

_SECRET = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_.-]*)\}")


def origin(folder: str, definition: Definition, settings: Settings) -> Origin:
    """The origin that a schedule or a person names; empty for the pipeline's own inbox folder.

    `${secret:NAME}` in an address that the definition or ROWRELAY_INBOXES states is looked up here, and shown nowhere.

    Raises:
        FileError: it lies outside of what may be read, or is not there.
        SettingError: the package for this kind of address is not installed, or a secret is missing or may not go there.
    """
    if "://" not in folder or folder.startswith("file://"):
        return Folder(str(_local(folder.removeprefix("file://"), definition, settings)))
    named = [schedule.inbox for schedule in definition.schedules if schedule.inbox and "://" in schedule.inbox]
    allowed = (*named, *settings.inboxes)
    # A secret goes to the very address that it was stated with, and not to what somebody makes of it.
    if folder not in allowed and (_SECRET.search(folder) or not any(below(folder, each) for each in allowed)):
        raise FileError(
            "is no address that files may be taken from",
            file=folder,
            hint=f"Name it as `inbox` of a schedule in the definition of {definition.name}, or in ROWRELAY_INBOXES.",
        )
    secrets = {name: secret(name, settings.secrets) for name in _SECRET.findall(folder)}
    for name in secrets:
        if folder not in settings.inboxes and (why := SecretHosts.of(settings).refusal(name, host_of(folder))):
            raise SecretAbroad(f"{folder}: {why}.")
    address = _SECRET.sub(lambda found: secrets[found[1]], folder)
    if folder.startswith(("http://", "https://")):
        return Web(folder, settings.inbox / definition.name, address=address, mask=Masker(secrets.values()))
    return Folder(folder, address=address, mask=Masker(secrets.values()))


def _local(folder: str, definition: Definition, settings: Settings) -> Path:
    if not folder:
        own = settings.inbox / definition.name
        with reached(str(own), "cannot be made"):
            private_folder(own)
        return own.resolve()
    roots = [root.resolve() for root in (settings.inbox, *settings.folders)]
    asked = Path(folder)
    for path in [asked] if asked.is_absolute() else [root / asked for root in roots]:
        real = path.resolve()
        if any(real.is_relative_to(root) for root in roots):
            if real.is_dir():
                return real
        elif path.exists():
            break
    else:
        raise FileError("there is no such folder", file=folder, hint="Make it, or correct the schedule's `inbox`.")
    raise FileError(
        "lies outside the folders that may be read",
        file=folder,
        hint="Use a folder below the inbox, or name it in ROWRELAY_FOLDERS.",
    )
