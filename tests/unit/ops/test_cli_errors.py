"""The last line of a command that failed."""

from __future__ import annotations

import pytest

from poliqi.base.errors import DataRefused
from poliqi.ops import cli

CASES = [
    (DataRefused("column '\x1b]0;owned\a' is none\x1b[2J"), "column '\ufffd]0;owned\ufffd' is none\ufffd[2J"),
    (OSError(2, "No such file", "a\x1b[1A"), "a\ufffd[1A: No such file"),
    (OSError(28, "No space left on device"), "output: No space left on device"),
]


@pytest.mark.parametrize(("error", "line"), CASES)
def test_no_words_of_a_file_take_over_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"poliqi: {line}\n"
