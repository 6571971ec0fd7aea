"""Reading YAML 1.2 within bounds: every mistake, and every document that asks for too much, becomes one line with its place."""

import copy
import functools
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.nodes import Node, ScalarNode

from reslab.errors import UserError, cut, first_line, shown

LONGEST, DEEPEST, MOST = 200_000, 50, 10_000  # characters, levels, values: the largest study has 6,000, 6 and 500
LARGEST = 2**63  # whole numbers stay below: what torch, NumPy and tables can hold
DIGITS = 80  # of a whole number, in whatever base: the rest need not be worked out
MOST_OF_DVC = 1_000_000  # of the parser's events in a dvc.lock: some 2,000 experiments
OPENED = re.compile(rf"(?:[\[{{]\s*){{{DEEPEST + 1}}}")  # the parser would find out, but looks 1,000 characters ahead, slowly
OLDER = re.compile(r"^\ufeff?%YAML\s+1\.[01]\b", re.MULTILINE)
FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)  # of `!!int x`, 2001-99-99


class _Composer(Composer):
    """Counts values while the document is read; an alias counts as all that it stands for, so that none can explode."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.count, self.sizes, self.warn_double_anchors = 0, {}, False

    def compose_node(self, parent: Any, index: Any) -> Node:
        before, is_alias, place = self.count, self.parser.check_event(AliasEvent), self.parser.peek_event().start_mark
        self.count += 1
        node = super().compose_node(parent, index)
        if not is_alias:
            self.sizes[id(node)] = self.count - before
        elif id(node) in self.sizes:
            self.count = before + self.sizes[id(node)]
        else:
            raise UserError(f"line {place.line + 1}: an alias refers to a value that contains it")
        if self.count > MOST:
            raise UserError(f"line {place.line + 1}: more than {MOST} values up to here, aliases written out; at most that many")
        return node


class _Constructor(SafeConstructor):
    """Refuses text and whole numbers that nothing later could write or hold."""

    def construct_scalar(self, node: ScalarNode) -> str:
        value = super().construct_scalar(node)
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise UserError(f"line {node.start_mark.line + 1}: {shown(value)} is not text: half a character")
        return value

    def whole_number(self, node: ScalarNode) -> int:
        value = self.construct_yaml_int(node) if len(node.value) <= DIGITS else LARGEST
        if abs(value) >= LARGEST:
            raise UserError(f"line {node.start_mark.line + 1}: {shown(node.value)} is too large; whole numbers end at 2**63 - 1")
        return value


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.whole_number)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; raises UserError for a missing or unreadable file and what `parse_yaml` refuses."""
    try:
        return parse_yaml(read_bytes(path).decode())
    except UnicodeDecodeError as error:
        raise UserError(f"not valid YAML: {first_line(error)}") from None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that is to be parsed; raises UserError for a missing or unreadable one, and one that is too large."""
    try:
        if not path.is_file() and path.exists():
            raise UserError("not a file")  # reading a pipe would wait for its other end
        if (size := path.stat().st_size) > 4 * LONGEST:  # UTF-8 has at most 4 bytes a character
            raise UserError(f"{size:,} bytes are too many: at most {LONGEST} characters")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError("no such file; run from the repository root or give --params") from None
    except NotADirectoryError:
        raise UserError("not a file") from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})") from error


def check_text(text: str) -> None:
    """Raise UserError for a document that need not be parsed to be refused."""
    if len(text) > LONGEST:
        raise UserError(f"{len(text)} characters are too many: at most {LONGEST}")
    if OPENED.search(text):
        raise UserError(f"more than {DEEPEST} levels inside one another")
    if OLDER.search(text):
        raise UserError("%YAML 1.1 is another language, in which `no` is false and 1e-4 is text; this file is read as YAML 1.2")


def parse_yaml(text: str) -> Any:
    """Parse YAML 1.2 (so that 1e-4 is a number); raises UserError for bad syntax, a repeated key, or too much."""
    return copy.deepcopy(_parsed(text))


@functools.lru_cache(maxsize=128)
def _parsed(text: str) -> Any:
    """What a text holds, parsed once: all studies share their defaults, and the parser is slow."""
    check_text(text)
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor, yaml.max_depth = _Composer, _Constructor, DEEPEST
    try:
        return yaml.load(text)
    except UserError:
        raise
    except MaxDepthExceededError as error:
        raise UserError(f"line {error.problem_mark.line + 1}: more than {DEEPEST} levels inside one another") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{place}{cut((error.problem or 'not valid YAML').splitlines()[0])}") from None
    except FAULTS as error:
        raise UserError(f"not valid YAML: a value cannot be read ({first_line(error)})") from None
    except YAMLError as error:
        raise UserError(f"not valid YAML: {first_line(error)}") from None


def check_for_dvc(text: str) -> None:
    """Raise UserError for what DVC cannot read: it takes YAML 1.1, in which a colon within braces ends a text without quotes."""
    try:
        YAML(typ="safe").compose(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = cut(getattr(error, "problem", None) or first_line(error))
        raise UserError(f"{place}DVC cannot read this ({problem}); put the text there in quotes") from None


def parse_of_dvc(text: str) -> Any:
    """Parse YAML that DVC wrote, which may be longer than what people write; raises UserError for anything else.

    The parser is the fast one in C, which deep nesting would end with a segmentation fault: so what is there is counted before.
    """
    count, opened, sizes = 0, [], {}
    try:
        for event in YAML(typ="safe").parse(text):
            count += 1
            if isinstance(event, CollectionStartEvent):
                opened.append((event.anchor, count))
            elif isinstance(event, CollectionEndEvent):
                anchor, before = opened.pop()
                sizes[anchor] = count - before
            elif isinstance(event, AliasEvent):
                count += sizes.get(event.anchor, MOST_OF_DVC)  # one that is not closed contains itself
            elif isinstance(event, ScalarEvent):
                sizes[event.anchor] = 1
            if len(opened) > DEEPEST or count > MOST_OF_DVC:
                raise UserError(f"more than {DEEPEST} levels or {MOST_OF_DVC:,} values, aliases written out")
        return YAML(typ="safe").load(text)
    except (YAMLError, *FAULTS) as error:
        raise UserError(first_line(error)) from None
