"""Playing a trial: start, break, mend, resume until the run is over, and hand the evidence to the judge."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from flows.delivery.journal import Journal
from flows.errors import RowrelayError
from flows.ledger.view import View
from flows.limit.status import open_limit, status
from flows.records import RowState, RunState
from tests.faults.draw import CLEAN, Trial
from tests.faults.harm import harm
from tests.faults.judge import Evidence, Seen, judge
from tests.faults.scene import RUN, Scene, scene, wait_for
from tests.faults.watch import Seen as Looks
from tests.faults.watch import watching
from tests.harness.forked import Forked
from tests.harness.world import World

MOST_STARTS = 8
MOST_SECONDS = 60.0  # for one sender; with all waits of a take-over and of a limit that has to be sure it needs 25


@dataclass
class Result:
    """What came of a trial."""

    trial: Trial
    wrong: list[str]
    arrivals: int = 0
    worst: int = 0
    resumed: int = 0
    unknown: int = 0
    looks: int = 0
    hit: bool = False  # rows were still to be sent, and somebody there to send them, when it was broken
    seconds: float = 0.0
    kept: str = ""  # folder with what is left of a trial that failed
    left_out: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # the run's events and reasons, of a trial that failed


def play(trial: Trial) -> Result:
    """One trial below Prefect: delivery, limiter and ledger in processes of their own. Never raises."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"trial-{trial.number}-"))
    try:
        with scene(trial, folder) as made:
            result = _play(trial, made)
    except Exception:
        result = Result(trial, ["played: " + traceback.format_exc(limit=-4)])
    result.seconds = time.monotonic() - began
    if result.wrong:
        result.kept = str(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _play(trial: Trial, made: Scene) -> Result:
    made.behave()
    journaled: dict[int, str] = {}
    notes: list[str] = []
    asked: list[set[int]] = []
    banned_starts, hit = 0, False
    with watching(made.desk.view, RUN) as looks:
        for start in range(MOST_STARTS):
            engine = made.start()
            if start == 0:
                _wait_for_instant(trial, engine, looks)
                hit = engine.poll() is None and looks.finished < trial.rows + trial.bad
                harm(made, engine)
                banned_starts = made.starts
            _wait_for_all(made, notes)
            journaled |= _on_disk(made)
            if start == 0 and trial.api == "ban":
                notes += _forgotten_ban(made)
            if _finished(made):
                break
            _open(made)
        if trial.ask and _finished(made):
            asked.append(_ask(made, notes))
        looks.ended.set()
    evidence = _evidence(trial, made, looks)
    evidence.notes, evidence.asked, evidence.journaled = notes, asked, journaled
    deaths = {"sender kill": 1, "both": 1}.get(trial.kill, 0)
    untroubled = trial.network == "none" and trial.trouble in ("none", "clock") and trial.kill != "sender stop"
    if trial.api in CLEAN and untroubled and not trial.idempotent:
        evidence.most_unknown = deaths * (trial.in_flight + 1)
    if trial.api == "ban":
        evidence.most_banned = trial.in_flight * banned_starts
    wrong = judge(evidence)
    return Result(
        trial,
        wrong,
        arrivals=len(evidence.arrivals),
        worst=evidence.worst,
        resumed=made.starts - 1,
        unknown=evidence.counts.get(RowState.UNKNOWN, 0),
        looks=looks.looks,
        hit=hit,
        left_out=made.left_out,
        said=_said(made) if wrong else [],
    )


def _wait_for_instant(trial: Trial, engine: Forked, looks: Looks) -> None:
    if trial.after_rows:
        wait_for(lambda: looks.finished >= trial.after_rows or engine.poll() is not None, 20)
    time.sleep(trial.after_seconds)


def _wait_for_all(made: Scene, notes: list[str]) -> None:
    """Until no sender is left: each ends by itself, whatever was done to it."""
    for engine in made.world.engines:
        if not wait_for(lambda engine=engine: engine.poll() is not None, MOST_SECONDS):  # type: ignore[misc]
            busy = made.view.run(RUN).busy
            notes.append(f"end: a sender was still there after {MOST_SECONDS:g} s" + ", and kept the run" * busy)
            engine.kill()
            engine.wait()


def _finished(made: Scene) -> bool:
    with suppress(RowrelayError, redis.RedisError):
        return made.view.run(RUN).state is RunState.FINISHED
    return False


def _forgotten_ban(made: Scene) -> list[str]:
    """Where the answer that told of a ban surely came through, Redis or the disk must know of it."""
    trial = made.trial
    surely = trial.network in ("none", "delay") and trial.trouble not in ("memory of sender", "disk of journal")
    met = any(arrival["answer"] == 403 for arrival in made.desk.arrivals())
    if not (surely and met) or trial.kill in ("sender kill", "sender stop", "both"):
        return []
    kept = status(made.view.client, "faults").latched or list((made.data / "journal").glob("*.stop"))
    return [] if kept else ["ban: requests met it, and neither Redis nor the disk knows"]


def _open(made: Scene) -> None:
    """After a ban a person opens the limit."""
    with suppress(redis.RedisError):
        client = made.view.client
        if status(client, "faults").latched:
            open_limit(client, "faults", by="the trial")


def _ask(made: Scene, notes: list[str]) -> set[int]:
    """Send what is unknown or failed once more, as a person may; gives the rows."""
    before = made.view.run(RUN)
    rows = set(made.view.select(RUN, [RowState(made.trial.ask)], before.total).tolist())
    made.start(rows=made.trial.ask, request="again")
    _wait_for_all(made, notes)
    for _ in range(2):  # an API that goes on failing may stop it
        if not _finished(made):
            made.start()
            _wait_for_all(made, notes)
    return rows


def _on_disk(made: Scene) -> dict[int, str]:
    """What a sender that has ended left in the journal."""
    return {answer.row: str(answer.state) for answer in Journal(made.data / "journal", RUN).read()}


def _evidence(trial: Trial, made: Scene, looks: Looks) -> Evidence:
    return evidence_of(
        made.view,
        RUN,
        made.desk,
        looks,
        limit=trial.limit,
        total=trial.rows + trial.bad,
        rejected=trial.bad,
        idempotent=trial.idempotent,
    )


def evidence_of(
    view: View,
    run: str,
    desk: World,
    looks: Looks,
    *,
    limit: tuple[int, float],
    total: int,
    rejected: int,
    idempotent: bool,
) -> Evidence:
    """What the receiver and the ledger know at the end."""
    found = view.run(run)
    size = found.total + 8  # a row too many would show
    states = {str(state): set(view.select(run, [state], size).tolist()) for state in RowState if state != "waiting"}
    states["waiting"] = set(view.select(run, [RowState.WAITING], found.total).tolist())
    return Evidence(
        requests=limit[0],
        window_seconds=limit[1],
        total=total,
        rejected=rejected,
        idempotent=idempotent,
        arrivals=[seen_of(arrival) for arrival in desk.arrivals()],
        states=states,
        counts={str(state): count for state, count in found.counts.items()},
        run_state=str(found.state),
        sums=looks.sums,
        done_at=looks.done_at,
        undone=looks.undone,
    )


def seen_of(arrival: dict[str, object]) -> Seen:
    """An arrival of the stand-in's log."""
    tag = str(arrival["tag"]).removeprefix("t")
    return Seen(
        at=int(str(arrival["at"])),
        row=int(tag) if tag else 0,
        key=str(arrival["key"]),
        digest=str(arrival["digest"]),
        answer=arrival["answer"],  # type: ignore[arg-type]
        acted=bool(arrival["acted"]),
    )


def _said(made: Scene) -> list[str]:
    words: list[str] = []
    with suppress(RowrelayError, redis.RedisError):
        run = made.view.run(RUN)
        words.append(f"{run.state} {run.reason} {json.dumps(run.counts)}")
        words += [f"{at:.2f} {text}" for at, text in reversed(made.view.events(RUN))]
        troubled = made.view.select(RUN, [RowState.FAILED, RowState.UNKNOWN], run.total).tolist()
        records = made.view.records(RUN, troubled, names=(), created=run.created)
        words += [f"row {each.row} {each.state}, attempt {each.attempts}: {each.reason}" for each in records]
    return words
