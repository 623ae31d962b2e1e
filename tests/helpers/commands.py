"""Commands that several tests use, and the check that a mistake costs one line."""

ATTACK = ("evaluate", "d1", "--out", "run")
EVALUATE = (*ATTACK, "--clean-only")


def one_line(result, code, *words):
    """Check exit code, that stderr is one line, and that it holds the words."""
    lines = result.err.strip().splitlines()
    assert result.code == code, result.err
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0], lines[0]
