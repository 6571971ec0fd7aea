"""What a run of the benchmark measures: cases of loops side by side, sweeps of ours, and a short training of each loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from loops import LOOPS
from reslab.config.study import SECTIONS, Experiment, merge
from reslab.errors import UserError

RECIPE = {
    "normalize": {"name": "computed"},
    "model": {"name": "resnet", "depth": 20},
    "augment": [{"name": "pad_crop", "padding": 4}, {"name": "flip"}],
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    "schedule": {"name": "constant"},
    "train": {"epochs": 1_000_000, "batch_size": 128, "precision": "float32"},
}
RESNET110 = {"model": {"name": "resnet", "depth": 110}}
WRN = {"model": {"name": "wrn", "depth": 28, "widening_factor": 10}, "optimizer": {"weight_decay": 5e-4, "nesterov": True}}
OTHERS = ("conventional", "tuned", "speedrun", "speedrun-compiled")
GRAPHED = ("tuned-reduce-overhead", "speedrun-reduce-overhead")  # torch.compile's own CUDA graphs: on a CPU they are as without
AGAIN = " again"  # the control: our first level under a second name


@dataclass(frozen=True)
class Case:
    """One experiment on `images` training images, and the loops that run it side by side."""

    name: str
    change: Mapping  # of the recipe
    images: int
    tests: int
    loops: tuple[str, ...] = OTHERS
    seeds: int = 1
    recipe: Mapping = field(default_factory=lambda: RECIPE)
    limit: float = float("inf")  # seconds

    @property
    def precision(self) -> str:
        """What the experiment says, or the default."""
        return self.sections["train"].get("precision", "float32")

    @property
    def sections(self) -> dict:
        """The whole experiment."""
        return {key: _laid_over(self.recipe[key], self.change.get(key)) for key in SECTIONS}


@dataclass(frozen=True)
class Sweep:
    """Our first level, at points that differ in one thing."""

    name: str  # of what is varied
    points: Mapping[float, Case]
    limit: float = float("inf")


@dataclass(frozen=True)
class Packing:
    """Several networks of one case: `ours` at once in the way of the train stage, beside others one after the other and at once."""

    name: str
    case: Case  # its loops are the others; the first is the reference
    ours: tuple[int, ...]  # how many of ours at once
    others: tuple[int, ...]  # how many processes of each other at once
    limit: float = float("inf")


@dataclass(frozen=True)
class Plan:
    """All of a run: what, how often, how long a segment lasts at least."""

    levels: tuple[str, ...]
    packings: tuple[Packing, ...]
    cases: tuple[Case, ...]
    sweeps: tuple[Sweep, ...]
    races: tuple[Case, ...]
    guard: Case
    rounds: int
    seconds: float
    sweep_rounds: int
    sweep_seconds: float
    device: str = "cpu"

    def only(self, names: list[str]) -> "Plan":
        """The parts of these names; raises UserError for one that is not there."""
        known = [part.name for part in (*self.packings, *self.cases, *self.races, *self.sweeps, self.guard)]
        for name in names:
            if name not in known:
                raise UserError(f"--only {name}: not in this preset; allowed: {', '.join(known)}")
        if not names:
            return self
        return replace(
            self,
            **{
                kind: tuple(part for part in getattr(self, kind) if part.name in names)
                for kind in ("packings", "cases", "races", "sweeps")
            },
            guard=self.guard if self.guard.name in names else replace(self.guard, loops=()),
        )

    def loops_of(self, case: Case) -> dict[str, tuple[str, str]]:
        """Name of an entrant -> (loop, level): ours at each level, the control, the others."""
        ours = {f"ours-{level}": ("ours", level) for level in self.levels}
        control = {f"ours-{self.levels[0]}{AGAIN}": ("ours", self.levels[0])}
        return ours | control | {loop: (loop, "") for loop in case.loops}

    def describe(self) -> str:
        """What it will measure, in words."""
        lines = [f"on {self.device}, our levels: {', '.join(self.levels)}; reference of all ratios: ours-{self.levels[0]}"]
        lines += [f"{name}: {text}" for name, (*_, text) in LOOPS.items()]
        for packing in self.packings:
            counts = f"{', '.join(map(str, packing.ours))} of ours at once; {', '.join(packing.case.loops)} in turn"
            more = f", and {', '.join(map(str, packing.others))} processes of each at once" if packing.others else ""
            mps = ", on a GPU also under MPS" if packing.others else ""
            lines.append(
                f"packing {packing.name}: {_spoken(packing.case.sections['model'])}, {packing.case.precision}; {counts}{more}{mps}"
            )
        for case in self.cases:
            train = case.sections["train"]
            what = f"{_spoken(case.sections['model'])}, batch {train['batch_size']}, {case.precision}, {case.images:,} images"
            lines.append(f"case {case.name}: {what}; {self.rounds} rounds of {self.seconds:g} s or one epoch of each of")
            lines.append(f"    {', '.join(self.loops_of(case))}")
        for race in self.races:
            epochs, model = race.sections["train"]["epochs"], _spoken(race.sections["model"])
            what = f"{epochs} epochs, {race.seeds} seeds; seconds until each is as good as tuned is with every seed"
            lines.append(f"race {race.name}: {model}, {race.precision}, {race.images:,} images, {what}")
        for sweep in self.sweeps:
            points = ", ".join(f"{point:g}" for point in sweep.points)
            lines.append(f"sweep {sweep.name}: {points}; {self.sweep_rounds} rounds of {self.sweep_seconds:g} s each")
        if self.guard.loops:
            epochs, model = self.guard.sections["train"]["epochs"], _spoken(self.guard.sections["model"])
            lines.append(
                f"guard: {model} on the digits of scikit-learn, {epochs} epochs of each loop that was timed; test errors compared"
            )
        lines.append("ceilings: the fastest matrix product and copy of this machine in each precision; roofline of every case")
        lines.append(
            f"segments alone take {self.minutes():.1f} minutes; first epochs, compilation and epochs longer than that come on top"
        )
        return "\n".join(lines)

    def minutes(self) -> float:
        """What the segments of cases and sweeps take at least."""
        segments = self.rounds * self.seconds * sum(len(self.loops_of(case)) for case in self.cases)
        return (segments + self.sweep_rounds * self.sweep_seconds * sum(len(sweep.points) for sweep in self.sweeps)) / 60


def from_experiment(experiment: Experiment, case: Case) -> Case:
    """The case with an experiment of a study in place of the preset's, at a constant rate and without an end."""
    train = {key: value for key, value in experiment.sections["train"].items() if key != "iterations"}
    endless = {"schedule": RECIPE["schedule"], "train": train | {"epochs": RECIPE["train"]["epochs"]}}
    return replace(case, name=experiment.name, change={}, recipe=experiment.sections | endless)


def _laid_over(default: object, change: object) -> object:
    """`change` over `default`, as the experiments of a study are laid over its sections."""
    return default if change is None else merge(default, change)


def _spoken(model: Mapping) -> str:
    return " ".join([model["name"], *(f"{key} {value}" for key, value in model.items() if key != "name")])
