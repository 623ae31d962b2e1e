"""Names that become files follow one grammar, and messages show every name as plain text."""

import pytest

from tfrobust.errors import RobustError, UsageError, one_line, printable
from tfrobust.files.names import LONGEST, check_name, is_name, version_number
from tfrobust.store.layout import home_of, locate, next_version, versions
from tfrobust.study.schema.files import read_study
from tfrobust_cli.main import main

BAD = (
    "", ".", "..", "../x", "a/b", "a\\b", "/x", ".hidden", "-rf", "a b", "a\nb", "a\x1b[31m",
    "a\x00", "a\udc80", "C:x", "x" * (LONGEST + 1), "a;b", "*", "~", "$HOME",
)  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_text_that_could_leave_a_folder_or_control_a_terminal_is_no_name(name, tmp_path):
    assert not is_name(name)
    for check in (check_name, lambda name: home_of(name, tmp_path)):
        with pytest.raises(UsageError, match="plain folder name") as refusal:
            check(name)
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("name", ["lenet", "d1", "lenet-2.1", "_x", "réseau", "x" * LONGEST])
def test_plain_words_are_names(name):
    assert check_name(name) == name


STUDY = """
title = "t"
source = "s"
about = "a"
NAME
[scales.SCALE]
scenario = "digits"
images = 3
minutes = 1
[networks.NETWORK]
title = "n"
model = "linear"
[views.plain]
title = "plain"
[conditions.CONDITION]
title = "c"
judged = ["plain"]
"""


PLAIN = STUDY.replace("NAME", "", 1)


def _study(path, **names):
    text = STUDY.replace("NAME", f"name = {names['NAME']}" if "NAME" in names else "", 1)
    for place in ("SCALE", "NETWORK", "CONDITION"):
        text = text.replace(place, names.get(place, place.lower()))
    path.write_text(text, encoding="utf-8")
    return path


LONG = "x" * 200_000


@pytest.mark.parametrize(
    "name", ['"../../x"', '"a/b"', '"a\\nb"', '"\\u001b[31m"', f'"{LONG}"'], ids=range(5)
)
@pytest.mark.parametrize("place", ["NAME", "SCALE", "NETWORK", "CONDITION"])
def test_a_study_that_would_write_elsewhere_is_refused(place, name, tmp_path):
    assert read_study(_study(tmp_path / "s.toml")).name == "s"
    with pytest.raises(UsageError, match="expected a name of letters") as refusal:
        read_study(_study(tmp_path / "s.toml", **{place: name}))
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"title = '\xff'", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"title = ", "cannot be read"),
        (PLAIN.replace('"t"', '"\\u001b[2J"').encode(), "title: expected a text without control"),
        (PLAIN.replace('"n"', '"\\u0007"').encode(), "title: expected a text without control"),
        (PLAIN.replace("minutes = 1", "minutes = nan").encode(), "minutes"),
        (PLAIN.replace("images = 3", f"images = 3\nseeds = [{10**30}]").encode(), "seeds"),
    ],
)  # fmt: skip
def test_a_study_file_that_cannot_be_read_costs_one_line(content, words, tmp_path):
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(UsageError, match=words) as refusal:
        read_study(tmp_path / "s.toml")
    assert "\n" not in str(refusal.value)


def test_only_plain_numbers_are_versions(tmp_path):
    for name in ("1", "12", "²", "٣", "07", "1" * 30, "training", "-1", "1.0"):
        (tmp_path / "m" / name).mkdir(parents=True)
    assert versions(tmp_path / "m") == [1, 12]
    assert next_version(tmp_path / "m").name == "13"
    assert version_number("0") == 0
    assert locate("m", tmp_path).name == "12"


def test_messages_are_one_line_of_printable_characters_and_bounded(monkeypatch, capsys):
    nasty = "a\x1b]0;owned\x07\r\n\tb" + "\udcff" + "x" * 200_000
    assert printable(nasty, 30).startswith("a\\x1b]0;owned\\x07\\r\\n\\tb\\xff")
    assert len(printable(nasty)) <= 2000
    assert one_line("a\x1b[2J") == "a\\x1b[2J"

    def broken(**_):
        raise RobustError(nasty)

    monkeypatch.setattr("tfrobust_cli.main.app", broken)
    with pytest.raises(SystemExit, match="1"):
        main()
    output = capsys.readouterr().err
    assert output.startswith("error: a\\x1b]0;owned")
    assert output.removesuffix("\n").isprintable()
    assert len(output) < 2100
