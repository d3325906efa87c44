"""The list of commands says what the commands say of themselves."""

from __future__ import annotations

import inspect

import pytest
import typer

from services.cli.commands import COMMANDS
from services.cli.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_the_first_sentence_of_the_commands_own_help(name: str) -> None:
    group = typer.main.get_group(app)
    with typer.Context(group) as context:
        _, command, _ = group.resolve_command(context, [name, "--help"])
    assert command is not None
    assert command.name == name
    help_of_its_own = inspect.cleandoc(command.help or "")
    first = " ".join(help_of_its_own.split("\n\n")[0].split())
    assert COMMANDS[name].says == first


def test_commands_are_listed_without_loading_one() -> None:
    group = typer.main.get_group(app)
    assert list(group.commands) == list(COMMANDS)
    assert all(command.callback is None for command in group.commands.values())
