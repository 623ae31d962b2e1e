"""The Typer app, and how an error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys

import typer

from tfrobust.errors import RobustError, printable
from tfrobust_cli.commands import (
    attack,
    data,
    demo,
    doctor,
    evaluate,
    export,
    plugins,
    report,
    streams,
    study,
    summary,
    train,
)
from tfrobust_cli.interruptions import terminated_like_ctrl_c, what_next

app = typer.Typer(
    name="tfrobust",
    help="Train, attack, evaluate and export TensorFlow image classifiers.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo, doctor, plugins, data, summary, train, attack, evaluate, streams, export, report, study,
):  # fmt: skip
    command.add_to(app)


def main() -> None:
    """Run the command line; leave with 1 (failed), 2 (usage) or 130 (interrupted)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with terminated_like_ctrl_c():
            code = app(standalone_mode=False)
    except RobustError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough
        sys.exit(0)
    if code == 130:  # Typer turns Ctrl-C into this code
        _fail(what_next(sys.argv[1:]), code)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    if message:
        print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
