"""Carry a plan out, part by part, and keep what was found in one plain dictionary."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from contest.compare import summarize
from contest.entrant import Driven, Entrant
from contest.guard import in_a_process, judge, trained_error
from contest.machine import gpu_id, machine
from contest.packing import pack
from contest.plan import AGAIN, Case, Packing, Plan, Sweep
from contest.race import race
from contest.repeat import repeats
from contest.roofline import ceilings, needs, reached
from contest.rounds import contest
from contest.watch import Watch
from contest.workspace import DIGITS, Workspace, facts_of
from loops.job import Job
from loops.peer import Peer
from reslab.environment import cpu_count
from reslab.errors import UserError, first_line

LARGEST_OF_DIGITS = 1437
REPEATED = 256  # images on which it is tried whether a loop repeats


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
        gpu = gpu_id() if self.plan.device == "cuda" else ""
        for kind, part, measure in self.parts():
            now = time.monotonic()
            if now > self.until:
                results["not_reached"].append(part.name)
                continue
            self.say(f"{kind}: {part.name}")
            with Watch(self.plan.device, gpu=gpu) as watch:
                results.setdefault(kind, {})[part.name] = measure(part, min(self.until, now + part.limit))
            results.setdefault("watched", {})[part.name] = watch.summary()
            self.save(results)
        return results

    def parts(self) -> list[tuple[str, Any, Callable[[Any, float], dict]]]:
        """Kind, part and what measures it until a time, the most important first: the speed of several networks, then of one."""
        plan = self.plan
        found = [("packings", part, self.packing) for part in plan.packings[:1]]
        found += [("cases", part, self.case) for part in plan.cases]
        found += [("guard", plan.guard, self.guard)] if plan.guard.loops else []
        found += [("packings", part, self.packing) for part in plan.packings[1:]]
        found += [("races", part, self.race) for part in plan.races]
        return found + [("sweeps", part, self.sweep) for part in plan.sweeps]

    def job(self, case: Case, data: Path, level: str) -> Job:
        """What a loop is told for a case."""
        return Job(case.sections, data, self.plan.device, cpu_count(), tuple(range(case.seeds)), level)

    def packing(self, packing: Packing, until: float) -> dict:
        """Several networks at once, ours and others."""
        case, plan = packing.case, self.plan
        job = self.job(case, self.workspace.subset(case.images, case.tests), plan.levels[0])
        how = {"rounds": plan.rounds, "seconds": plan.seconds, "say": self.say, "until": until}
        found = pack(job, ours=packing.ours, others=packing.others, loops=case.loops, **how)
        return {"images": case.images, "data": self.data, "sections": case.sections} | found

    @property
    def data(self) -> str:
        """What the images are."""
        return self.workspace.source.name if self.workspace.source else DIGITS

    def race(self, case: Case, until: float) -> dict:
        """The time that each loop takes to the error of the tuned one."""
        digits = case.images <= LARGEST_OF_DIGITS
        data = self.workspace.digits(case.images) if digits else self.workspace.subset(case.images, case.tests)
        loops = {name: loop for name, loop in self.plan.loops_of(case).items() if not name.endswith(AGAIN)}
        found = race(loops, self.job(case, data, ""), case.sections["train"]["epochs"], say=self.say, until=until)
        return {"images": case.images, "data": "digits" if digits else self.data, "sections": case.sections} | found

    def case(self, case: Case, until: float) -> dict:
        """Ours at each level, the control and the others, side by side."""
        data = self.workspace.subset(case.images, case.tests)
        entrants: list[Driven] = [
            Entrant(name, loop, self.job(case, data, level), until=until)
            for name, (loop, level) in self.plan.loops_of(case).items()
        ]
        entrants += [replace(self.peer, until=until)] if self.peer else []
        found = contest(entrants, rounds=self.plan.rounds, seconds=self.plan.seconds, say=self.say, until=until)
        self._check_same_work(case, found)
        need = needs(case.sections, facts_of(data))
        rate = "images_per_second" if self.plan.device == "cuda" else "images_per_cpu_second"
        rows = summarize(found, reference=f"ours-{self.plan.levels[0]}", tests=case.tests)
        return {
            "images": case.images,
            "tests": case.tests,
            "data": self.data,
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

    def sweep(self, sweep: Sweep, until: float) -> dict:
        """Our first level at every point; by point: medians and needs."""
        level = self.plan.levels[0]
        entrants: list[Driven] = [
            Entrant(f"{point:g}", "ours", self.job(case, self.workspace.subset(case.images, case.tests), level), until=until)
            for point, case in sweep.points.items()
        ]
        found = contest(entrants, rounds=self.plan.sweep_rounds, seconds=self.plan.sweep_seconds, say=self.say, until=until)
        rows = summarize(found, reference="", tests=1)
        keys = ("images_per_second", "slowest", "fastest", "images_per_cpu_second", "peak_bytes", "first_epoch_seconds")
        points = {}
        for (point, case), entry in zip(sweep.points.items(), found.values(), strict=True):
            row = rows.get(f"{point:g}", {"failed": entry.get("failed")})
            sizes = asdict(needs(case.sections, facts_of(self.workspace.subset(case.images, case.tests))))
            points[f"{point:g}"] = {key: row[key] for key in (*keys, "failed") if key in row} | {"level": level, **sizes}
        return points

    def guard(self, guard: Case, until: float) -> dict:
        """The error of every loop that is timed, in each precision, mean of some seeds, and whether it repeats; by both."""
        timed: dict[str, dict[str, tuple[str, str]]] = {}
        for case in self.plan.cases or (guard,):
            loops = {name: loop for name, loop in self.plan.loops_of(case).items() if not name.endswith(AGAIN)}
            timed.setdefault(case.precision, {}).update(loops)
        return {precision: self._guarded(guard, precision, loops, until) for precision, loops in timed.items()}

    def _guarded(self, guard: Case, precision: str, loops: dict[str, tuple[str, str]], until: float) -> dict:
        change = guard.change | {"train": guard.change["train"] | {"precision": precision}}
        case, errors, failed, same = replace(guard, change=change), {}, {}, {}
        job, short = (self.job(case, self.workspace.digits(images), "") for images in (None, REPEATED))
        for name, (loop, level) in loops.items():
            self.say(f"guard: {name} in {precision}")
            try:
                epochs = case.sections["train"]["epochs"]
                errors[name] = in_a_process(trained_error, loop, replace(job, level=level), epochs, until=until)
                same[name] = repeats(loop, replace(short, level=level), until=until)
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - the others' errors are still worth having
                failed[name] = {"failed": first_line(error) or type(error).__name__}
        judged = judge(errors, tests=guard.seeds * guard.tests) if errors else {}
        return {name: verdict | {"repeats": same.get(name)} for name, verdict in judged.items()} | failed
