"""Settings from the environment: `ROWRELAY_…`, read once where a program starts."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flows.errors import SettingError


class Settings(BaseSettings):
    """Every setting, its default and what it is for. The defaults run the laptop stack as it is."""

    model_config = SettingsConfigDict(env_prefix="ROWRELAY_", frozen=True, extra="ignore", env_ignore_empty=True)

    data: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("rowrelay")),
        description="Folder for everything that must last: embedded Redis and Prefect, spool, uploads, inbox",
    )
    memory: Path = Field(
        default_factory=lambda: Path(platformdirs.user_state_dir("rowrelay")),
        description="Folder for what this machine remembers of a ledger, so that it notices when that was restored from"
        " a backup; not to be in the data folder, nor in a backup",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey to use instead of the embedded one, e.g. redis://:password@host:6379/0",
    )
    pipelines: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="Folders or files with pipeline definitions, separated by `:`",
    )
    examples: bool | None = Field(
        default=None,
        description="Whether the shipped example pipelines are offered; empty: only where ROWRELAY_PIPELINES holds no"
        " definition, or POSTS_URL says where they send",
    )
    folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders whose files may be delivered, separated by `:`; added to uploads and inbox"
    )
    storage: str = Field(
        default="",
        description="Folder that all machines reach (a path, s3://bucket/folder) for uploads, rows under way and inbox "
        "copies; empty: the data folder",
    )
    secrets: Path | None = Field(
        default=None, description="Folder with one file per secret, looked at before the environment"
    )
    secret_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts that secrets of the environment may go to, e.g. TOKEN=api.example.com,*.example.org"
        " KEY=shop.example, separated by blanks; one of the secrets folder has a file NAME.hosts beside it",
    )
    give_up_seconds: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="How long a run waits for a Redis that does not answer before it stops",
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="Runs are deleted so many days after their last sign of life, when another begins",
    )
    inboxes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses that inbox schedules may take files from (s3://bucket/folder, https://host/file), "
        "separated by blanks; added to those that definitions name",
    )
    settle_seconds: float = Field(
        default=5.0, ge=0, le=3600, description="A file in an inbox is complete when it has not changed for this long"
    )
    missed_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Scheduled runs that start later than this are skipped; 0: after a downtime one of the missed runs"
        " is made up for, however late",
    )
    auto_resume: int = Field(
        default=3, ge=0, le=100, description="How often a run whose process or machine died is resumed by itself"
    )
    dashboard_url: str = Field(default="", description="Address of the dashboard, for links in Prefect artifacts")
    max_upload_bytes: int = Field(default=10 * 2**30, ge=1, description="Largest file that is read, counted unpacked")

    task_runner: Literal["threads", "dask"] = Field(
        default="threads", description="What sends the chunks of a run: threads of its own process, or a Dask cluster"
    )
    dask_address: str = Field(
        default="", description="The Dask scheduler, e.g. tcp://host:8786; empty: worker processes on this machine"
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How logs are written: lines for people, or one JSON object a line"
    )
    separate_stack: bool = Field(
        default=False,
        description="Allow an embedded Redis in this data folder beside that of another one. Only if the two never"
        " send to the same API account: each keeps limits of its own",
    )
    notify_url: SecretStr | None = Field(
        default=None,
        description="Webhook that is told of runs that stop or end with errors: Slack, Teams, or one that takes JSON",
    )

    @field_validator("pipelines", "folders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part for part in value.split(":") if part) if isinstance(value, str) else value

    @field_validator("inboxes", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("secret_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        found = tuple(value.split()) if isinstance(value, str) else value
        for each in found if isinstance(found, tuple) else ():
            name, _, hosts = str(each).partition("=")
            if not name or not hosts.strip(","):
                raise ValueError(f"{each} does not say NAME=HOST,HOST")
        return found

    @cached_property
    def hosts_by_secret(self) -> dict[str, tuple[str, ...]]:
        """What `secret_hosts` says: the hosts of each secret that it names."""
        made: dict[str, tuple[str, ...]] = {}
        for name, _, hosts in (each.partition("=") for each in self.secret_hosts):
            made[name] = (*made.get(name, ()), *(host for host in hosts.split(",") if host))
        return made

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process. Raises SettingError naming the variable and what it may be."""
        try:
            return cls()
        except ValidationError as exc:
            first = exc.errors()[0]
            name = "ROWRELAY_" + str(first["loc"][0]).upper()
            raise SettingError(f"{name}: {first['msg']} (found {str(first['input'])[:80]!r})") from exc

    @property
    def redis_address(self) -> str:
        """The Redis that is set, password included: never to be logged. Raises SettingError where none is."""
        if not self.redis_url:
            raise SettingError(
                "ROWRELAY_REDIS_URL is not set.",
                hint="Write it as redis://:password@host:6379/0, or use `rowrelay up`.",
            )
        return self.redis_url.get_secret_value()

    @cached_property
    def spool_url(self) -> str:
        """The folder of the spool, as an fsspec URL or a path."""
        return self._stored("spool")

    @property
    def uploads_url(self) -> str:
        """Where files lie that were sent through the dashboard or the HTTP API, as an fsspec URL or a path."""
        return self._stored("uploads")

    @property
    def journal_url(self) -> str:
        """Where outcomes lie that Redis has not taken, for other machines to find them."""
        return self._stored("journal")

    @property
    def uploads(self) -> Path:
        """The folder of this machine that uploads come into, and stay in unless the storage is an object store."""
        return self.data / "uploads" if "://" in self.uploads_url else Path(self.uploads_url)

    def _stored(self, what: str) -> str:
        root = self.storage.removeprefix("file://").rstrip("/")
        return f"{root}/{what}" if root else str(self.data / what)

    @property
    def inbox(self) -> Path:
        """Files that a person or a program puts down to be delivered."""
        return self.data / "inbox"
