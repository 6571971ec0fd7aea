"""Carry a plan out, part by part, and keep what was found in one plain dictionary."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from contest.compare import summarize
from contest.entrant import Driven, Entrant
from contest.guard import in_a_process, judge, trained_error
from contest.machine import machine
from contest.plan import AGAIN, Case, Plan, Sweep
from contest.roofline import ceilings, needs, reached
from contest.rounds import contest
from contest.workspace import GENERATED, Workspace, facts_of
from loops.job import Job
from loops.peer import Peer
from reslab.environment import cpu_count
from reslab.errors import UserError, first_line


@dataclass
class Session:
    """One run of the benchmark: a plan, its data, and when it has to end."""

    plan: Plan
    workspace: Workspace
    say: Callable[[str], None]
    save: Callable[[dict], None]
    peer: Peer | None = None
    until: float = float("inf")  # time.monotonic()

    def run(self, results: dict) -> dict:
        """Add everything that time allows to `results`, saved after each part; "not_reached" names the rest."""
        results |= {"machine": machine(torch.device(self.plan.device)), "not_reached": []}
        parts = [("cases", case, self.case) for case in self.plan.cases]
        parts += [("guard", self.plan.guard, self.guard)] if self.plan.guard.loops else []
        parts += [("sweeps", sweep, self.sweep) for sweep in self.plan.sweeps]
        for kind, part, measure in parts:
            if time.monotonic() > self.until:
                results["not_reached"].append(part.name)
                continue
            self.say(f"{kind}: {part.name}")
            results.setdefault(kind, {})[part.name] = measure(part)
            self.save(results)
        return results

    def job(self, case: Case, data: Path, level: str) -> Job:
        """What a loop is told for a case."""
        return Job(case.sections, data, self.plan.device, cpu_count(), tuple(range(case.seeds)), level)

    def case(self, case: Case) -> dict:
        """Ours at each level, the control and the others, side by side."""
        data = self.workspace.subset(case.images, case.tests)
        entrants: list[Driven] = [
            Entrant(name, loop, self.job(case, data, level)) for name, (loop, level) in self.plan.loops_of(case).items()
        ]
        entrants += [self.peer] if self.peer else []
        found = contest(entrants, rounds=self.plan.rounds, seconds=self.plan.seconds, say=self.say)
        self._check_same_work(case, found)
        need = needs(case.sections, facts_of(data))
        rate = "images_per_second" if self.plan.device == "cuda" else "images_per_cpu_second"
        rows = summarize(found, reference=f"ours-{self.plan.levels[0]}", tests=case.tests)
        return {
            "images": case.images,
            "tests": case.tests,
            "data": str(self.workspace.source.name) if self.workspace.source else GENERATED,
            "sections": case.sections,
            "needs": asdict(need),
            "ceilings": in_a_process(ceilings, self.job(case, data, "")),
            "failed": {name: entry["failed"] for name, entry in found.items() if "failed" in entry},
            "summary": {name: row | {"reached": reached(row[rate], need)} for name, row in rows.items()},
            "segments": {name: entry["segments"] for name, entry in found.items() if "failed" not in entry},
        }

    def _check_same_work(self, case: Case, found: dict[str, dict]) -> None:
        """A loop that trains on more or fewer images an epoch than the case has is no comparison."""
        batch, dropped = case.sections["train"]["batch_size"], case.sections["train"].get("drop_last", False)
        expected = case.seeds * (case.images // batch * batch if dropped else case.images)
        for name, entry in found.items():
            counts = {segment["images"] // segment["epochs"] for segment in entry.get("segments", [])} - {expected}
            if counts and not (self.peer and name == self.peer.name):
                entry["failed"] = f"trains on {counts.pop()} images an epoch, not {expected}"

    def sweep(self, sweep: Sweep) -> dict:
        """Our first level at every point; by point: medians and needs."""
        level = self.plan.levels[0]
        entrants: list[Driven] = [
            Entrant(f"{point:g}", "ours", self.job(case, self.workspace.subset(case.images, case.tests), level))
            for point, case in sweep.points.items()
        ]
        found = contest(entrants, rounds=self.plan.sweep_rounds, seconds=self.plan.sweep_seconds, say=self.say)
        rows = summarize(found, reference="", tests=1)
        keys = ("images_per_second", "slowest", "fastest", "images_per_cpu_second", "peak_bytes", "first_epoch_seconds")
        points = {}
        for (point, case), entry in zip(sweep.points.items(), found.values(), strict=True):
            row = rows.get(f"{point:g}", {"failed": entry.get("failed")})
            sizes = asdict(needs(case.sections, facts_of(self.workspace.subset(case.images, case.tests))))
            points[f"{point:g}"] = {key: row[key] for key in (*keys, "failed") if key in row} | {"level": level, **sizes}
        return points

    def guard(self, guard: Case) -> dict:
        """The error of every loop that is timed, in each precision, mean of some seeds; by precision, by loop."""
        timed: dict[str, dict[str, tuple[str, str]]] = {}
        for case in self.plan.cases or (guard,):
            loops = {name: loop for name, loop in self.plan.loops_of(case).items() if not name.endswith(AGAIN)}
            timed.setdefault(case.precision, {}).update(loops)
        return {precision: self._guarded(guard, precision, loops) for precision, loops in timed.items()}

    def _guarded(self, guard: Case, precision: str, loops: dict[str, tuple[str, str]]) -> dict:
        change = guard.change | {"train": guard.change["train"] | {"precision": precision}}
        case, errors, failed = replace(guard, change=change), {}, {}
        job = self.job(case, self.workspace.digits(), "")
        for name, (loop, level) in loops.items():
            self.say(f"guard: {name} in {precision}")
            try:
                errors[name] = in_a_process(trained_error, loop, replace(job, level=level), case.sections["train"]["epochs"])
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - the others' errors are still worth having
                failed[name] = {"failed": first_line(error)}
        return (judge(errors, tests=guard.seeds * guard.tests) if errors else {}) | failed
