"""Which output is which class: shown, taken from a list, and never guessed where names are numbers."""

import pytest

from reslab.errors import UserError
from reslab.weights import outputs

TEXT_ORDER = sorted(map(str, range(11)))


@pytest.mark.parametrize(
    "names",
    [
        TEXT_ORDER,
        sorted(map(str, range(1, 13))),
        ["10", "9", "8"],
        ["0.5", "10", "2"],
        sorted(f"class{k}" for k in range(11)),
        sorted(f"{k} birds" for k in range(11)),
        ["3", "1", "2"],
    ],
)
def test_the_order_of_names_with_numbers_is_not_guessed(names):
    with pytest.raises(UserError, match=r"may count .*: give --classes FILE"):
        outputs.order_of_outputs(None, names)
    assert outputs.order_of_outputs(names[::-1], names) == names[::-1]


@pytest.mark.parametrize(
    "names",
    [
        list(map(str, range(10))),
        list(map(str, range(11))),  # in the order of the numbers already
        ["airplane", "automobile", "bird"],
        ["T-shirt/top", "Trouser", "Pullover"],  # a published order of its own
        ["0 - zero", "1 - one", "2 - two"],
        ["n01440764", "n01443537", "n02134084"],
        ["00", "01", "10"],
    ],
)
def test_an_order_without_doubt_is_taken(names):
    assert outputs.order_of_outputs(None, names) == names


def test_the_given_classes_must_be_the_datasets():
    with pytest.raises(UserError, match="--classes has other classes than the dataset; not in the dataset: dog; missing: cat"):
        outputs.order_of_outputs(["dog", "bird"], ["bird", "cat"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\na\n", "repeated: a"),
        (b"a\n", "at least two classes"),
        (b"", "at least two classes"),
        (b"a\n\xff\n", r"not UTF-8 text \(byte 2\)"),
        (b"a\nb\x07\n", "names that cannot be printed"),
        (b"a\n" + b"b" * 2000, "names that cannot be printed"),
    ],
)
def test_a_list_of_classes_is_checked(tmp_path, content, message):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        outputs.read_classes(tmp_path / "classes.txt")


def test_a_list_of_classes_is_a_text_file(tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufeff10\r\n9\r\n\r\nnaïve\r\n".encode())
    assert outputs.read_classes(tmp_path / "classes.txt") == ["10", "9", "naïve"]
    with pytest.raises(UserError, match="no such file; --classes takes a text file"):
        outputs.read_classes(tmp_path)


def test_the_first_and_the_last_of_many_are_printed():
    assert outputs.lines(["a", "b"]) == ["output 0 is class a", "output 1 is class b"]
    told = outputs.lines([f"c{k}" for k in range(1000)])
    assert (len(told), told[9], told[10], told[11]) == (12, "output 9 is class c9", "... 989 more ...", "output 999 is class c999")
