"""
The command line (design §8): names, arguments and exit codes are a contract.

Exit codes: 0 all well; 1 some message refused or some check failed; 2 usage or configuration; 3 store or network.
Results go to standard output, what is said about them to standard error. Commands are loaded when they are run, so that
`translate` on one file starts at once. This package must hold no logic of its own: it reads arguments and prints.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import click

from mhbridge import __version__

__all__ = ["main"]

#: Command → (module, one line of help), in the order of the help page.
COMMANDS: Final = {
    "demo": ("mhbridge.cli.demonstration", "The main job end to end, on fixtures, in a few seconds."),
    "serve": ("mhbridge.cli.operating", "Run the gateway."),
    "new": ("mhbridge.cli.beginning", "Begin a mapping from sample messages."),
    "translate": ("mhbridge.cli.translating", "Translate files to FHIR, one JSON document a message."),
    "check": ("mhbridge.cli.authoring", "Check mapping files: every problem at once."),
    "explain": ("mhbridge.cli.authoring", "Explain a code, a mapping or a message."),
    "coverage": ("mhbridge.cli.covering", "What becomes of every value in a feed's messages, and the proof of it."),
    "completeness": (
        "mhbridge.cli.completing",
        "What a feed's documents say of what their record standard asks for.",
    ),
    "review": ("mhbridge.cli.reviewing", "Sign for a mapping as it is now; a live gateway takes no others."),
    "replay": ("mhbridge.cli.replaying", "Compare fixtures with their golden files, or send them to a gateway."),
    "validate": ("mhbridge.cli.translating", "Validate FHIR files."),
    "messages": ("mhbridge.cli.looking", "List messages of a store."),
    "trace": ("mhbridge.cli.looking", "Tell the story of one message."),
    "parked": ("mhbridge.cli.repairing", "Show what waits for a person, by why it does."),
    "reprocess": (
        "mhbridge.cli.repairing",
        "Work messages again with the mapping as it is now.",
    ),
    "resend": ("mhbridge.cli.repairing", "Deliver the documents of a message again."),
    "release": ("mhbridge.cli.repairing", "Let a parked delivery go, or a destination that is held or down."),
    "close": ("mhbridge.cli.repairing", "End what is parked of a message, with a reason."),
    "tasks": ("mhbridge.cli.tasks", "List what people have to do; take it, and say that it is done."),
    "feeds": ("mhbridge.cli.feeds", "Show what feeds usually send, which are silent, and what is missing."),
    "insights": ("mhbridge.cli.insights", "A month in figures that name nobody, as CSV and as a page."),
    "status": ("mhbridge.cli.standing", "Show how things stand: what needs attention, then the accounts."),
    "audit": ("mhbridge.cli.auditing", "List who read what and who did what, or check that the log is whole."),
    "purge": ("mhbridge.cli.keeping", "Make unreadable what is not to be kept any longer; erase a patient."),
    "backup": ("mhbridge.cli.keeping", "Copy a store while the gateway goes on."),
    "restore": ("mhbridge.cli.keeping", "Make a store from a backup, where there is none."),
    "rekey": ("mhbridge.cli.keeping", "Bring a store under another key."),
    "schema": ("mhbridge.cli.authoring", "Write the JSON Schemas that editors complete mapping files with."),
    "codes": ("mhbridge.cli.coding", "Make a code table of a FHIR ConceptMap."),
    "functions": ("mhbridge.cli.authoring", "Show the functions of the mapping language."),
}


class _Commands(click.Group):
    """Commands that are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[name][0]), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mhbridge")
def commands() -> None:
    """
    Takes care-transition and discharge records as systems emit them, translates them into FHIR by mapping files, and
    relays them without losing any.
    """


def main(arguments: list[str] | None = None) -> Any:
    """
    Run the command line. Errors that mhbridge can name become one line and an exit code, never a traceback.
    """
    from mhbridge.errors import ConfigurationError, MappingError, MhbridgeError, StoreError

    try:
        code = commands.main(args=arguments, prog_name="mhbridge", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except MappingError as error:
        for diagnostic in error.diagnostics:
            click.echo(diagnostic.render(), err=True)
        sys.exit(1)
    except ConfigurationError as error:
        for code, message in error.problems:
            click.echo(f"{code}: {message}", err=True)
        sys.exit(2)
    except StoreError as error:
        click.echo(str(error), err=True)
        sys.exit(3)
    except MhbridgeError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (`mhbridge messages | head`).
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A file that cannot be written, a peer that is not there: what the system says of it, and of what.
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"{where}{error.strerror or type(error).__name__}", err=True)
        sys.exit(3)
