"""The `heml` command: one module per subcommand; each imports what it needs when it runs."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from heml import __version__
from pipelines.cli import (
    clean,
    dataset,
    demo,
    init,
    plan,
    report,
    revoke,
    run,
    segments,
    status,
    taxonomy,
    ui,
    verify,
)
from pipelines.cli.exit_codes import EXIT_CODES
from pipelines.cli.terminal import prepare_terminal

app = typer.Typer(
    name="heml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the image segment that carries a bias, and build a rebalanced dataset that reduces "
    f"it, with the effect measured.\n\n{EXIT_CODES}",
)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("ui")(ui.ui)
app.command("revoke")(revoke.revoke)
app.command("verify")(verify.verify)
app.command("clean")(clean.clean)
app.command("demo")(demo.demo)
app.add_typer(dataset.app, name="dataset")
app.add_typer(segments.app, name="segments")
app.add_typer(taxonomy.app, name="taxonomy")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"heml {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    prepare_terminal()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 refused, 130 interrupted.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name="heml")
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
