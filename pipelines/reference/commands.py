"""docs/cli.md: every command with its arguments and options, from the typer application."""

from __future__ import annotations

import html

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from pipelines.cli.app import app


def command_reference() -> str:
    """The page, written by typer itself."""
    command = get_command(app)
    context = typer.Context(command, info_name="heml")
    text = get_docs_for_click(obj=command, ctx=context, name="heml", title="The `heml` command")
    return html.unescape(text).rstrip() + "\n"
