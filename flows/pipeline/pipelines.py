"""The pipelines of this installation: those of ROWRELAY_PIPELINES, and the shipped examples where they are wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from flows.errors import DefinitionError
from flows.pipeline.definition import Definition
from flows.pipeline.document import read_text
from flows.pipeline.fault import Fault, refusal
from flows.pipeline.reading import load
from flows.pipeline.secret_hosts import ENDING, UNRESTRICTED, SecretHosts
from flows.records import LimitTerms
from flows.settings import Settings

EXAMPLE_ADDRESS = "POSTS_URL"  # the variable that says where the shipped example sends
_ASK = "ROWRELAY_EXAMPLES=true offers them, and so does POSTS_URL, which says where they send."
Mark = tuple[tuple[str, int, int], ...]


class Pipelines(dict[str, Definition]):
    """Definitions by name, which fit together. `files` says where each stands.

    `refused` has the files that are wrong: they spoil no other pipeline than their own. `withheld` names the shipped
    examples that are not offered.
    """

    def __init__(self, found: Mapping[str, Definition] | None = None) -> None:
        super().__init__(found or {})
        self.files: dict[str, Path] = {}
        self.refused: dict[Path, DefinitionError] = {}
        self.withheld: tuple[str, ...] = ()

    @property
    def withheld_notice(self) -> str:
        """That examples are not offered, and what offers them; empty where none is withheld."""
        if not self.withheld:
            return ""
        return f"Example pipelines that are not offered: {', '.join(self.withheld)}. {_ASK}"

    def add(self, path: Path, environ: Mapping[str, str], hosts: SecretHosts) -> None:
        """Load the definition in a file. Raises DefinitionError, also where it does not go with the others."""
        made = load(path, environ=environ, hosts=hosts)
        if made.name in self:
            what = f"{made.name} is the name of {self.files[made.name]} too; rename one"
            raise refusal([Fault(("name",), what)], file=str(path))
        for other in self.values():
            if what := _limits_apart(made, other, self.files[other.name]):
                raise refusal([Fault(("limit",), what)], file=str(path))
        self[made.name], self.files[made.name] = made, path


def shipped() -> Path:
    """The folder of the definitions that come with Rowrelay."""
    return Path(__file__).resolve().parent.parent.parent / "deployments" / "pipelines"


def examples_folder() -> Path:
    """The folder of the example definitions, which are no pipelines of an installation until somebody copies one."""
    return shipped() / "examples"


def examples() -> dict[str, Path]:
    """The example definitions by name, sorted."""
    return {path.stem.replace("_", "-"): path for path in sorted(examples_folder().glob("*.yaml"))}


def load_all(
    paths: Iterable[Path | str], *, environ: Mapping[str, str] = os.environ, hosts: SecretHosts = UNRESTRICTED
) -> Pipelines:
    """The definitions of all files and folders (their *.yaml and *.yml) that can be used, sorted by name.

    `hosts`: where their secrets may go.
    """
    found = Pipelines()
    for path in _files(paths):
        try:
            found.add(path, environ, hosts)
        except DefinitionError as exc:
            found.refused[path] = exc
    for name in sorted(found):
        found[name] = found.pop(name)
    return found


def present(settings: Settings) -> Pipelines:
    """All definitions by name, and what is wrong with the other files.

    Raises DefinitionError only where ROWRELAY_PIPELINES names what is not there, and SettingError.
    """
    for path in settings.pipelines:
        if not path.exists():
            raise DefinitionError("there is no such file or folder", file=str(path), key="ROWRELAY_PIPELINES")
    found = load_all(_places(settings), hosts=SecretHosts.of(settings))
    if shipped() not in _places(settings):
        found.withheld = tuple(path.stem for path in _files([shipped()]) if path.stem not in found)
    return found


def _places(settings: Settings) -> tuple[Path, ...]:
    """Where definitions are looked for.

    An example sends to a public address. Beside definitions of one's own it is offered only to who asks for it, by the
    setting or by saying where it sends: nobody else expects it on a page where files are sent.
    """
    wanted = settings.examples
    if wanted is None:
        wanted = bool(os.environ.get(EXAMPLE_ADDRESS)) or not any(path.exists() for path in _files(settings.pipelines))
    return (shipped(), *settings.pipelines) if wanted else settings.pipelines


def mark(settings: Settings) -> Mark:
    """Something that changes with any definition file, and with where secrets may go."""
    files = sorted(settings.secrets.glob(f"*{ENDING}")) if settings.secrets else []
    files += [
        file
        for path in _places(settings)
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.exists()
    ]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def pick(found: Mapping[str, Definition], name: str) -> Definition:
    """One of them by its name. Raises DefinitionError: what is wrong with its file, or which there are."""
    if name in found:
        return found[name]
    refused = found.refused if isinstance(found, Pipelines) else {}
    for path, fault in refused.items():
        if path.stem == name or _names(path, name):
            raise fault
    near = get_close_matches(name, found, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    if isinstance(found, Pipelines) and name in found.withheld:
        hint = f"{found.withheld_notice} "
    wrong = "".join(f" Wrong, so left out: {path}." for path in refused)
    raise DefinitionError(
        f"There is no pipeline {name!r}.",
        hint=f"{hint}There are: {', '.join(found) or 'none'}. ROWRELAY_PIPELINES names folders with more.{wrong}",
    )


def _names(path: Path, name: str) -> bool:
    """Whether a file that cannot be read as a definition looks like the one of this pipeline."""
    try:
        text = read_text(path)
    except DefinitionError:
        return False
    stated = re.compile(rf"""^[\s{{]*["']?name["']?\s*:\s*["']?{re.escape(name)}["']?\s*[,#}}\r\n]""", re.MULTILINE)
    return bool(stated.search(text + "\n"))


def _files(paths: Iterable[Path | str]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in map(Path, paths):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if path.is_dir() and file.suffix not in (".yaml", ".yml"):
                continue
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _limits_apart(made: Definition, other: Definition, where: Path) -> str:
    """How a limit that two definitions share differs, in words; `where` the other one stands."""
    others = {terms.name: terms for terms in other.limit_terms}
    apart = (_apart(mine, others[mine.name], where) for mine in made.limit_terms if mine.name in others)
    return next(filter(None, apart), "")


def _apart(mine: LimitTerms, theirs: LimitTerms, where: Path) -> str:
    different = [name for name in LimitTerms.__dataclass_fields__ if getattr(mine, name) != getattr(theirs, name)]
    if mine.units and "in_flight" in different:  # it follows from what each pays, and the smaller holds for both
        different.remove("in_flight")
    if not different:
        return ""
    numbers = "; ".join(f"{name}: {getattr(mine, name)} here, {getattr(theirs, name)} there" for name in different)
    hint = "Give both the same numbers, or the limits different names."
    if different == ["max_timeout_seconds"]:
        most = max(mine.max_timeout_seconds, theirs.max_timeout_seconds)
        hint = f"Write max_timeout_seconds: {most:g} under `limit` in both."
    return f"{mine.name} has other numbers in {where} ({numbers}). {hint}"
