"""docs/configuration.md: every section of params.yaml, every entry of every table, every option."""

from collections.abc import Iterable

from reslab.cli.docs import glossary, markdown
from reslab.cli.docs.glossary import Option

PAGE = "docs/configuration.md"
INTRODUCTION = """\
# Configuration

Made by `reslab docs` from the code's own signatures; do not edit. The meanings come from `src/reslab/cli/docs/options.yaml`.

`params.yaml` is one study. `reslab check` says what is wrong with it, with the path and what is allowed;
`reslab options model.wrn` prints one of the tables below. A section with a `name` is an entry of a table, and its other keys are
that entry's options. An option that is `needed` has no default. A default of `null` means that the option is off, or that its line
states the default.

`dvc exp run -S model.depth=110` changes one value. Every experiment is the sections of the study with its own lines laid over them,
key by key; another `name` replaces the section, a list replaces a list.

A `name` may also be `module:function`, your own code in `plugins/` or in an installed package, and that of a network
`timm:resnet18d` or `torchvision:resnet18` ([Extending](extending.md#your-own-code-without-editing-the-repository))."""
OF_TABLE = {
    "model": "The initialisation of every family has these options besides its own; its defaults are those of the system that "
    "published the family's numbers.",
    "model.shortcut": "The shortcuts of `shortcut_resnet`.",
    "augment": "`augment` is a list of these. `normalize` marks the place where pixels become normalised floats; without it "
    "that is after the last augmentation. `cutmix`, `dual_cutout`, `mixup` and `ricap` mix the images of a batch: at most one of "
    "them, and last.",
}
OF_EVERY_ENTRY = {"dataset": "Every dataset takes:", "model": "Every network takes:", "schedule": "Every schedule takes:"}
INITIALISED = "plain"  # any family: the initialisation's options are the same for all


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, *_study()]
    for section in (
        "dataset",
        "normalize",
        "model",
        "model.shortcut",
        "augment",
        "loss",
        "optimizer",
        "schedule",
        "schedule.warmup",
    ):
        parts += _table(section)
    for section in glossary.SECTIONS:
        parts += [f"## {section}", _options(glossary.fields_of(section))]
    rows = [{"variable": f"`{name}`", "meaning": line} for name, line in glossary.environment().items()]
    text = "Where and how fast a study runs is never in params.yaml: it would train everything again."
    return "\n\n".join([*parts, "## Environment variables", text, markdown.table(rows)]) + "\n"


def _study() -> Iterable[str]:
    rows = [{"key": f"`{key}`", "meaning": line} for key, line in glossary.keys_of_a_study()]
    return "## The keys of params.yaml", markdown.table(rows)


def _table(section: str) -> Iterable[str]:
    yield f"## {section}"
    if section in OF_TABLE:
        yield OF_TABLE[section]
    if section == "model":
        yield _options(glossary.options_of(section, INITIALISED, initialisation=True), defaults=False)
    if shared := glossary.shared_options(section):
        yield OF_EVERY_ENTRY[section]
        yield _options(shared)
    for entry, sentence in glossary.entries(section).items():
        yield f"### {section}: {entry}"
        yield sentence
        if options := glossary.options_of(section, entry):
            yield _options(options)
        if section == "model":
            yield f"Initialisation: {_defaults(entry)}."


def _options(options: Iterable[Option], *, defaults: bool = True) -> str:
    rows = [
        {"option": f"`{option.name}`", "type": option.kind, "default": _default(option), "meaning": option.meaning}
        for option in options
    ]
    return markdown.table(rows if defaults else [{key: row[key] for key in row if key != "default"} for row in rows])


def _default(option: Option) -> str:
    return option.default if option.default == glossary.NEEDED else f"`{option.default}`"


def _defaults(entry: str) -> str:
    return ", ".join(f"`{option.name}: {option.default}`" for option in glossary.options_of("model", entry, initialisation=True))
