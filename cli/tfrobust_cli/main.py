"""The Typer app, and how an error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import tfrobust
from tfrobust.errors import RobustError, printable
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
    leaderboard,
    plan,
    plugins,
    report,
    serve,
    streams,
    study,
    summary,
    train,
)
from tfrobust_cli.interruptions import terminated_like_ctrl_c, what_next
from tfrobust_cli.plain import write_what_can_be_shown

_LONGEST = 1000  # characters of a message

app = typer.Typer(
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
    demo, doctor, plugins, data, summary, train, attack, evaluate, diagnose, certify, plan, streams,
    export, serve, report, check, leaderboard, study,
):  # fmt: skip
    command.add_to(app)


def main() -> None:
    """Run the command line.

    Exit codes: 0, 1 (failed), 2 (usage), 3 (masked), 4 (incomplete), 5 (a check fails), 130
    (interrupted).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    write_what_can_be_shown()
    try:
        check_arguments(sys.argv[1:])
        with terminated_like_ctrl_c():
            code = app(standalone_mode=False, prog_name="tfrobust")
    except RobustError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail(_said_by_typer(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough
        sys.exit(0)
    except OSError as error:
        if error.strerror is None:  # nobody's file: ours to mend
            raise
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        _fail(f"{where}{error.strerror}; free or permit it, or choose another folder", 1)
    except MemoryError:
        _fail("there is not enough memory; take fewer images at a time, or fewer in all", 1)
    if code == 130:  # Typer turns Ctrl-C into this code
        _fail(what_next(sys.argv[1:]), code)
    sys.exit(code if isinstance(code, int) else 0)


def _said_by_typer(error: typer.TyperException) -> str:
    """Return Typer's message with the value that was received, or with the help to read."""
    from pydantic import ValidationError

    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if isinstance(error.__cause__, ValidationError):
        return f"{message}; received: {error.__cause__.errors()[0]['input']!r}"
    context = getattr(error, "ctx", None)
    return f"{message}; `{context.command_path} --help` shows what there is" if context else message


def _fail(message: str, code: int) -> None:
    """Print one line, shortened and printable, and exit."""
    line = printable(" ".join(message.split()), limit=10**6)
    if len(line) > _LONGEST:  # the problem comes first, what to do last
        line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
    if line:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
