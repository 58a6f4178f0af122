"""`pause` and `resume`: the daemon stops taking changes up, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reindex.cli.connection import order
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption
from reindex.cli.output import say
from reindex.cli.performing import Command, open_place

if TYPE_CHECKING:
    from reindex.objects import Object


def pause(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """Let the daemon take up no more changes until `resume`. Search goes on."""
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(None, order("/v1/pause", waits=False), _say_state))


def resume(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """Let the daemon go on, with whatever has changed since `pause`."""
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(None, order("/v1/resume", waits=False), _say_state))


def _say_state(value: Object) -> None:
    say("paused: `reindex resume` goes on" if value["paused"] else "changes are taken up again")
