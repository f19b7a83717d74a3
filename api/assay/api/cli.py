"""The program `assay`: parses, calls one function, prints, turns errors into exit codes.

Data goes to stdout, everything else to stderr.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from assay.api import settings
from assay.selectors.errors import AssayError

# May be followed by several values.
MANY = ("--raw", "--target", "--scores", "--budget", "--map", "--scale", "--tie", "--fix")
HINT = (
    "`select` is installed too and equals `assay select`; bash, ksh and zsh reserve the word: "
    "there, type `command select ...`."
)


# Where each command lives: only the one that is called is imported, so none waits for another's.
COMMANDS = {
    "select": "assay.api.select_command:select",
    "methods": "assay.api.show_commands:methods",
    "rate": "assay.api.rate_command:rate",
    "bakeoff": "assay.api.bakeoff_command:bakeoff",
    "verify": "assay.api.run_commands:verify",
    "replay": "assay.api.run_commands:replay",
    "diff": "assay.api.diff_command:diff",
    "explain": "assay.api.run_commands:explain",
    "what-if": "assay.api.run_commands:what_if",
    "validate": "assay.api.validate_command:validate",
    "prune-sequences": "assay.api.prune_command:prune_sequences",
    "laws": "assay.api.scaling_commands:laws",
    "fit": "assay.api.scaling_commands:fit",
    "plan": "assay.api.scaling_commands:plan",
    "recommend": "assay.api.scaling_commands:recommend",
    "serve": "assay.api.serve_commands:serve",
    "worker": "assay.api.serve_commands:worker",
    "jobs": "assay.api.jobs_commands:jobs",
    "keys": "assay.api.service_commands:keys",
    "migrate": "assay.api.service_commands:migrate",
    "doctor": "assay.api.show_commands:doctor",
}


class Commands(click.Group):
    """The commands, in the order a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load(cmd_name) if cmd_name in COMMANDS else None


def load(name: str) -> click.Command:
    """The command of this name."""
    module, _, place = COMMANDS[name].partition(":")
    command: click.Command = getattr(import_module(module), place)
    return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=HINT,
)
@click.version_option(version("assay"), "-V", "--version", prog_name="assay")
def assay() -> None:
    """Decide what a language model is trained on: select, validate, plan."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    settings.for_threads()
    _speak_any_script()
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def _speak_any_script() -> None:
    """What the terminal's encoding lacks is shown escaped; ids and texts are in any script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def select_main() -> None:
    """The program `select`."""
    settings.for_threads()
    _speak_any_script()
    sys.exit(run(["select", *sys.argv[1:]], program=_select_name()))


def run(arguments: list[str], program: str = "assay") -> int:
    """Run the program; every error becomes one message and an exit code."""
    if program != "assay":
        words = _spread(arguments[1:])
        return _guarded(lambda: load("select").main(words, program, standalone_mode=False))
    return _guarded(lambda: assay.main(_spread(arguments), program, standalone_mode=False))


def _guarded(work: Callable[[], Any]) -> int:
    try:
        result = work()
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _tell("interrupted", 130)
    except AssayError as problem:
        if settings.debugging():
            traceback.print_exc()
        return _tell(str(problem) or (type(problem).__doc__ or "").strip(), problem.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _tell("out of memory: use fewer --workers, or ask for less (--bootstrap)", 75)
    except Exception as bug:
        if settings.debugging():
            traceback.print_exc()
        said = f"{type(bug).__name__}: {bug}"
        return _tell(f"this is a bug in assay ({said}); ASSAY_DEBUG=1 shows where", 1)


def _tell(message: str, code: int) -> int:
    print(f"assay: {message}", file=sys.stderr)
    return code


def _spread(arguments: list[str]) -> list[str]:
    """`--raw A B` as `--raw A --raw B`, so that a shell's glob may follow an option."""
    spread: list[str] = []
    option, values = "", 0
    for word in arguments:
        if word.startswith("-") and word != "-":
            option, values = (word if word in MANY else ""), 0
            spread.append(word)
        elif option and values:
            spread += [option, word]
        else:
            spread.append(word)
            values += 1
    return spread


def _select_name() -> str:
    reserved = settings.on_a_shell_that_reserves_select()
    return "command select" if reserved else "select"
