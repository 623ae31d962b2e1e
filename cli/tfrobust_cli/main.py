"""The Typer app, and how an error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import tfrobust
from tfrobust.errors import RobustError
from tfrobust_cli.app import App
from tfrobust_cli.arguments import check_arguments
from tfrobust_cli.commands import (
    attack,
    certify,
    check,
    data,
    demo,
    diagnose,
    doctor,
    evaluate,
    export,
    init,
    leaderboard,
    plan,
    plugins,
    report,
    run,
    serve,
    streams,
    study,
    summary,
    train,
)
from tfrobust_cli.console import fail, show_traceback
from tfrobust_cli.interruptions import terminated_like_ctrl_c, what_next
from tfrobust_cli.plain import write_what_can_be_shown

app = App(
    name="tfrobust",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tfrobust {tfrobust.__version__}")
        raise typer.Exit


@app.callback()
def tool(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train, attack, evaluate and export TensorFlow image classifiers."""


for command in (
    demo, init, doctor, plugins, data, summary, train, attack, evaluate, diagnose, certify, plan,
    streams, export, serve, report, check, leaderboard, run, study,
):  # fmt: skip
    command.add_to(app)


def main() -> None:
    """Run the command line; docs/shell.md lists the exit codes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    write_what_can_be_shown()
    try:
        check_arguments(sys.argv[1:])
        with terminated_like_ctrl_c():
            code = app(standalone_mode=False, prog_name="tfrobust")
    except RobustError as error:
        show_traceback()
        fail(str(error), error.exit_code)
    except typer.TyperException as error:
        fail(_said_by_typer(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough
        sys.exit(0)
    except OSError as error:
        if error.strerror is None:  # nobody's file: ours to mend
            raise
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        fail(f"{where}{error.strerror}; free or permit it, or choose another folder", 1)
    except MemoryError:
        fail("there is not enough memory; take fewer images at a time, or fewer in all", 1)
    if code == 130:  # Typer turns Ctrl-C into this code
        fail(what_next(sys.argv[1:]), code)
    sys.exit(code if isinstance(code, int) else 0)


def _said_by_typer(error: typer.TyperException) -> str:
    """Return Typer's message with the value that was received, or with the help to read."""
    from pydantic import ValidationError

    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if isinstance(error.__cause__, ValidationError):
        return f"{message}; received: {error.__cause__.errors()[0]['input']!r}"
    context = getattr(error, "ctx", None)
    return f"{message}; `{context.command_path} --help` shows what there is" if context else message


if __name__ == "__main__":
    main()
