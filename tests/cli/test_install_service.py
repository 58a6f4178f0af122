"""The files of service managers: right by the managers' own rules, whatever the paths are."""

import configparser
import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reindex.errors import ConfigError
from reindex.service_units import launchd_plist, systemd_unit

ODD = ["/opt/my $HOME/100 %n/日本/python", "run", "--config", "/srv/a b/$HOME 'x' \"y\" %h\\t\n日本.toml", ""]


@pytest.fixture
def home(daemon_place):
    folder = daemon_place.folder / "home"
    folder.mkdir()
    daemon_place.environment |= {"HOME": str(folder), "XDG_CONFIG_HOME": ""}
    return folder


def parsed(text):
    unit = configparser.RawConfigParser(strict=True, delimiters=("=",), comment_prefixes=("#", ";"))
    unit.optionxform = str
    unit.read_string(text)
    return unit


def words(line):
    """A command line as systemd reads it: quotes, C escapes, then %% and (not in the program) $$."""
    found = []
    for each in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
        raw = re.sub(
            rb"\\x([0-9a-f]{2})|\\(.)",
            lambda m: bytes([int(m[1], 16)]) if m[1] else m[2],
            each.encode(),
        )
        text = os.fsdecode(raw).replace("%%", "%")
        found.append(text.replace("$$", "$") if found else text)
    return found


def verify(text, folder, name="odd.service"):
    """systemd's own judgement of a unit, or a skip where it can't be asked."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    path = Path(folder) / name
    path.write_text(text)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_LOG_LEVEL": "info"}
    return subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_unit_means_what_it_should(daemon_place, home):
    unit = parsed(daemon_place.run("install-service", "--print").out)
    service = unit["Service"]
    command = words(service["ExecStart"])
    assert command[-3:] == ["run", "--config", str(daemon_place.folder / "config.toml")]
    assert os.access(command[0], os.X_OK)
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["2", "4"]
    assert int(service["TimeoutStopSec"]) > 10
    assert int(service["WatchdogSec"]) > 0
    assert unit["Install"]["WantedBy"] == "default.target"
    assert not list(home.iterdir()), "--print writes nothing"


def test_no_character_of_a_path_means_anything():
    unit = systemd_unit(ODD, "100 % of\na b", 10)
    assert words(parsed(unit)["Service"]["ExecStart"]) == ODD
    assert parsed(unit)["Unit"]["Description"] == "reindex: keeps 100 %% of?a b fresh and answers searches"


def test_systemd_finds_no_fault_and_runs_what_was_meant(tmp_path):
    program = tmp_path / "my $HOME ; 100 %n 日本"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    answer = verify(systemd_unit([str(program), *ODD[1:]], "a%b", 10), tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    wrong = verify(systemd_unit([str(program) + "x"], "a%b", 10), tmp_path)
    assert wrong.returncode != 0, "the program's path is understood, quotes and specifiers included"


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b", "a\nb", "a\x7fb"])
def test_a_program_that_systemd_does_not_take_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="systemd runs no program"):
        systemd_unit([str(tmp_path / name)], "x", 10)


def test_it_is_written_and_another_is_not_replaced_unasked(daemon_place, home):
    answer = daemon_place.run("install-service")
    target = home / ".config/systemd/user/reindex.service"
    assert answer.code == 0
    assert target.is_file()
    for step in ("daemon-reload", "enable --now reindex", "loginctl enable-linger"):
        assert step in answer.out
    assert daemon_place.run("install-service", "--json").json["file"] == str(target)
    target.write_text("mine")
    refused = daemon_place.run("install-service")
    assert (refused.code, target.read_text()) == (2, "mine")
    assert "--force" in refused.err
    assert daemon_place.run("install-service", "--name", "second").code == 0
    assert daemon_place.run("install-service", "--force").code == 0
    assert target.read_text() != "mine"
    assert daemon_place.run("install-service", "--name", "../x").code == 2


def test_a_job_of_launchd(daemon_place, home):
    job = plistlib.loads(daemon_place.run("install-service", "--print", "--launchd").out.encode())
    assert job["ProgramArguments"][-3:] == ["run", "--config", str(daemon_place.folder / "config.toml")]
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    assert daemon_place.run("install-service", "--launchd").code == 0
    assert (home / "Library/LaunchAgents/reindex.plist").is_file()
    odd = [each.replace("\n", "") for each in ODD]
    assert plistlib.loads(launchd_plist(odd, "x", "/log", 10))["ProgramArguments"] == odd


def test_help_has_an_example(daemon_place):
    assert "Example: reindex install-service" in daemon_place.run("install-service", "--help").out
