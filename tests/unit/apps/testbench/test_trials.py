"""The bench as a whole: candidates in processes of their own, crashes and hangs as findings, files, packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poliqi.apps.testbench.catalogue import Origin, Place, from_file, places
from poliqi.apps.testbench.outcome import Trial, Verdict
from poliqi.apps.testbench.seams import Kind, kind_of
from poliqi.apps.testbench.trials import Plan, look_into, run_trials
from poliqi.base.errors import ConfigError

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "examples/encryptors"
QUICK = Plan(sizes=(200, 1400), seconds=0.03, rounds=2, limit_s=60.0)

SOURCE = """
import os, sys, time
class Mine:
    name = "mine"
    description = "for a test"
    source = "a test"
    def draw(self, count):
        {body}
CANDIDATES = (Mine(),)
"""


def written(folder: Path, body: str) -> Place:
    path = folder / "mine.py"
    path.write_text(SOURCE.format(body=body))
    return Place(Origin(file=str(path)), "mine", Kind.RANDOM, "for a test")


def tried(place: Place, plan: Plan = QUICK) -> Trial:
    return run_trials([place], plan, lambda _: None)[0]


def built_in(name: str) -> Place:
    return next(place for place in places() if place.name == name)


def test_a_source_that_works_is_checked_and_timed(tmp_path: Path) -> None:
    trial = tried(written(tmp_path, "print('noise'); return os.urandom(count)"))
    assert trial.failed == []
    assert len(trial.draw_gbps) == 2
    assert trial.origin == "mine.py"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("os._exit(7)", "ended with exit code 7"),
        ("os.kill(os.getpid(), 11)", "by signal SIGSEGV"),
        ("time.sleep(1000)", "no answer within"),
        ("[os.write(n, b'nonsense\\n') for n in range(3, 20) if os.path.exists(f'/proc/self/fd/{n}')]", "be read"),
    ],
)
def test_a_candidate_that_is_lost_has_failed_and_the_bench_goes_on(tmp_path: Path, body: str, text: str) -> None:
    plan = Plan(seconds=0.03, rounds=1, limit_s=6.0)
    lost, other = run_trials([written(tmp_path, body), built_in("operating system")], plan, lambda _: None)
    assert [(finding.check, finding.verdict) for finding in lost.findings] == [("survives", Verdict.FAILED)]
    assert text in lost.findings[0].text
    assert lost.draw_gbps == []
    assert len(other.draw_gbps) == 1


@pytest.mark.slow
def test_the_worked_example_passes_and_the_broken_ones_are_named_and_not_timed() -> None:
    found = [
        place
        for name in ("aes_ctr_hmac", "broken")
        for place in look_into(Origin(file=str(EXAMPLES / f"{name}.py")))
    ]
    good, repeats, bare = run_trials(found, QUICK, lambda _: None)
    assert good.failed == []
    assert {record.size_bytes for record in good.records} == {200, 1400}
    assert len(good.streams) == 2
    assert repeats.failed == ["nonce"]
    assert {"flip", "replay", "order"} <= set(bare.failed)
    assert repeats.records == bare.records == bare.streams == []


def test_no_encryption_is_a_reference_and_is_not_judged() -> None:
    trial = tried(built_in("tcp, not encrypted"), Plan(seconds=0.05, rounds=1))
    assert trial.failed == []
    assert trial.streams[0].gbps > 0.0
    assert trial.streams[0].p50_s is not None


def test_nobody_else_is_a_reference_and_nobody_else_is_excused(tmp_path: Path) -> None:
    for name in ("tcp, not encrypted", "openssl enc"):
        place = written(tmp_path, "return bytes(count)")
        text = Path(str(place.origin.file)).read_text(encoding="utf-8").replace('"mine"', f'"{name}"')
        (tmp_path / "mine.py").write_text(text)
        trial = tried(look_into(place.origin)[0], Plan(is_timed=False))
        assert "repetition" in trial.failed


def test_a_candidate_that_breaks_under_load_is_named_and_not_compared(tmp_path: Path) -> None:
    # 64 KiB at a time are drawn for speed, and by no check
    trial = tried(written(tmp_path, "return os.urandom(count) if count != 1 << 16 else 1 / 0"))
    assert trial.failed == ["load"]
    assert "ZeroDivisionError" in trial.findings[-1].text
    assert trial.draw_gbps == []


def test_what_is_missing_is_skipped_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "gone.py"
    path.write_text(
        "class Gone:\n    name = 'gone'\n    description = 'a card'\n    is_two_way = True\n"
        "    def missing(self): return 'no card in the slot'\n    def listen(self): ...\n    def call(self): ...\n"
        "CANDIDATES = [Gone()]\n"
    )
    trial = tried(look_into(Origin(file=str(path)))[0])
    assert (trial.skipped, trial.findings, trial.streams) == ("no card in the slot", [], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CANDIDATES = (object(),)", "object is no candidate"),
        ("x = 1", "has no CANDIDATES"),
        ("CANDIDATES = ()", "has no CANDIDATES"),
        ("raise ValueError('not today')", "cannot be imported: ValueError: not today"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("class A:\n    name = 'a'\n    def draw(self): ...\nCANDIDATES = (A(),)", "description is no short text"),
        ("class A:\n    name = description = 'a'\n    def draw(self): ...\nCANDIDATES = 40 * (A(),)", "at most 32"),
    ],
)
def test_a_file_that_adds_nothing_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        from_file(path)


def test_a_file_that_ends_the_process_is_refused_and_ours_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import os; os._exit(3)")
    with pytest.raises(ConfigError, match="ended with exit code 3"):
        look_into(Origin(file=str(path)))


def test_an_entry_point_of_a_package_is_a_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.py").write_text(SOURCE.format(body="return os.urandom(count)"))
    info = tmp_path / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[poliqi.random_sources]\nmine = other:Mine\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    [place] = look_into(Origin(entry=("poliqi.random_sources", "mine")))
    assert (place.name, place.kind, str(place.origin)) == ("mine", Kind.RANDOM, "entry point mine")


def test_every_candidate_that_is_built_in_is_of_a_kind_and_has_a_name_of_its_own() -> None:
    found = places()
    assert len({place.name for place in found}) == len(found)
    assert {place.kind for place in found} == set(Kind)
    assert kind_of(object()) is None
