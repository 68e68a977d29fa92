import io
import json
import re
import sys

import pytest
from click.testing import CliRunner

from poliqi.base.errors import ConfigError
from poliqi.edge.recordings import open_recording
from poliqi.ops.commands.link_record import command, parse_count

LINK = """
name = "bench"
[source]
clock = "1 GHz"
intensities = [0.5, 0.1]
probabilities = [0.7, 0.3]
key_basis = 0.9
[fibre]
length = "10 km"
[receiver]
error_key = "1 %"
error_test = "2 %"
[detector]
kind = "snspd"
efficiency = "80 %"
[block]
sifted_key = 2000
"""


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "LINK.toml").write_text(LINK)

    def run(*arguments, to="light.poliqi-events"):
        output = tmp_path / to
        result = CliRunner().invoke(command, [str(tmp_path / "LINK.toml"), "-o", str(output), *map(str, arguments)])
        if isinstance(result.exception, ConfigError):
            raise result.exception
        return result, output

    return run


def test_what_is_printed_is_what_is_in_the_file(bench):
    result, output = bench("--pulses", "1e5", "--seed", 7, "--json")
    assert result.exit_code == 0
    said, recording = json.loads(result.stdout), open_recording(output)
    assert said == {
        "file": str(output),
        "bytes": output.stat().st_size,
        "origin": "simulated",
        "link": "bench",
        "seed": 7,
        "eve": None,
        "pulses": 100_000,
        "events": recording.slots.size,
        "clock_hz": 1e9,
        "seconds": 1e-4,
    }
    assert recording.pulses == 100_000
    assert recording.light.link.seed == 7


def test_people_are_told_seed_and_nature_of_the_light(bench):
    result, _ = bench("--pulses", "1e5", "--seed", 7)
    assert "100,000 pulses" in result.stdout
    assert "simulated light, seed 7" in result.stdout
    assert result.stderr == ""


def test_the_seed_makes_the_file(bench):
    one, two, three = (
        bench("--pulses", 10_000, "--seed", seed, to=name)[1].read_bytes()
        for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert one == two != three


def test_a_drawn_seed_is_told_and_makes_the_same_file_again(bench):
    result, drawn = bench("--pulses", 10_000, "--json", to="a")
    seed = json.loads(result.stdout)["seed"]
    assert 0 <= seed < 1 << 53
    assert bench("--pulses", 10_000, "--seed", seed, to="b")[1].read_bytes() == drawn.read_bytes()


@pytest.mark.parametrize("eve", ["intercept=0.2", "intercept-key=0.05", "pns"])
def test_an_attack_is_written_into_the_file(bench, eve):
    result, output = bench("--pulses", 10_000, "--eve", eve)
    assert open_recording(output).light.link.eve == eve
    assert f"attacked: {eve}" in result.stdout


def test_an_attack_named_by_the_link_is_written_too(bench, tmp_path):
    (tmp_path / "LINK.toml").write_text(LINK + '[attack]\nkind = "intercept-resend"\nfraction = 0.3\n')
    assert open_recording(bench("--pulses", 10_000)[1]).light.link.eve == "intercept=0.3"


def test_blocks_give_the_links_own_number_of_key_bits(bench):
    recording = open_recording(bench("--blocks", 4, "--seed", 1)[1])
    sifted = ((recording.states | recording.outcomes) & 2 == 0).sum()
    assert abs(sifted - 4 * 2000) < 5 * (4 * 2000) ** 0.5
    assert recording.pulses % 4 == 0


def test_an_existing_file_is_kept_unless_forced(bench):
    _, output = bench("--pulses", 10_000, "--seed", 1)
    before = output.read_bytes()
    with pytest.raises(ConfigError, match="--force"):
        bench("--pulses", 10_000, "--seed", 2)
    assert output.read_bytes() == before
    bench("--pulses", 10_000, "--seed", 2, "--force")
    assert output.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "one of --pulses N and --blocks K"),
        (["--pulses", "1e6", "--blocks", "1"], "one of --pulses N and --blocks K"),
        (["--pulses", "0"], "--pulses: '0' is not a whole number"),
        (["--blocks", "0"], "--blocks: '0' is not a whole number"),
        (["--blocks", "1e18"], "more than 2^62 pulses"),
        (["--pulses", "1e6", "--eve", "bribe"], "'bribe'"),
    ],
)
def test_options_that_make_no_sense_are_named(bench, arguments, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        bench(*arguments)


def test_a_missing_link_is_named(bench, tmp_path):
    (tmp_path / "LINK.toml").unlink()
    with pytest.raises(ConfigError, match=r"LINK\.toml: cannot be read"):
        bench("--pulses", "10")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("1000", 1000), ("1_000", 1000), ("1e9", 10**9), ("2.5e3", 2500), ("4611686018427387904", 1 << 62)],
)
def test_counts_are_read_as_people_write_them(text, number):
    assert parse_count(text, "--pulses") == number


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "1.5", "1e-3", "nan", "inf", "sNaN", "ten", "0x10", "1 000", "1e999999999", "5e18"]
)
def test_other_counts_are_refused(text):
    with pytest.raises(ConfigError, match="not a whole number from 1 to"):
        parse_count(text, "--pulses")


def test_a_terminal_sees_progress(bench, monkeypatch, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    (tmp_path / "LINK.toml").write_text(LINK)
    command.main(
        [str(tmp_path / "LINK.toml"), "--pulses", "10000", "-o", str(tmp_path / "out")], standalone_mode=False
    )
    assert "recording" in screen.getvalue()
    assert "100%" in screen.getvalue()
