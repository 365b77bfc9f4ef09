"""Options of a recipe from a file: `posestream train lifter --config FILE.toml`, flags override what it says.

The file holds the long options by name, dashes or underscores: `steps = 8000`, `no-lspet = true`, `seeds = [0, 1, 2]`.
Of an option that may be given several times it holds a list: `set = [["coco", "../coco"]]`.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import tomllib
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from train.errors import DataError


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a recipe's options from a file and the command line; ends the program if they are wrong, as argparse does.

    Every recipe gets `--config FILE.toml` and `--tensorboard` this way. Options must be written out.

    Args:
        parser: The recipe's own options; the two are added.
        argv: The command line; None for the program's own.

    Raises:
        DataError: If `--data` is given and nothing is there.
    """
    parser.allow_abbrev = False  # an abbreviated --config would be taken, and its file never read
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="options by name; flags override them")
    parser.add_argument("--tensorboard", action="store_true", help="log for TensorBoard as well, if it is installed")
    words = list(sys.argv[1:] if argv is None else argv)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    path = first.parse_known_args(words)[0].config
    of_file = words_of(parser, path, _appended(parser, words)) if path else []
    args = parser.parse_args([*of_file, *words])
    data = getattr(args, "data", None)
    if data is not None and data != parser.get_default("data") and not data.exists():
        raise DataError(f"{data} does not exist")
    return args


def fraction(text: str) -> float:
    """Read an option that is a share or a chance, 0 to 1.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share: 0 to 1")
    return value


def _appended(parser: argparse.ArgumentParser, words: Sequence[str]) -> set[str]:
    """Return the options that may be given several times and are given on the command line."""
    given = {word.partition("=")[0] for word in words}
    actions = {flag: action for flag, action in parser._option_string_actions.items() if flag in given}
    return {flag for a in actions.values() if isinstance(a, argparse._AppendAction) for flag in a.option_strings}


def words_of(parser: argparse.ArgumentParser, path: Path, left_out: Set[str] = frozenset()) -> list[str]:
    """Return the options of a file, but those left out, as command-line words: what follows them overrides them."""
    try:
        entries = tomllib.loads(path.read_text())
    except OSError as error:
        parser.error(f"cannot read {path}: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        parser.error(f"{path} is not TOML: {error}")
    words: list[str] = []
    for name, value in entries.items():
        flag = f"--{name.replace('_', '-')}"
        if flag not in parser._option_string_actions or flag in ("--config", "--help"):
            near = difflib.get_close_matches(flag, parser._option_string_actions, 1)
            parser.error(f"{path}: no option {name!r}" + (f"; did you mean {near[0][2:]!r}?" if near else ""))
        of_option = _words(parser, path, flag, value)
        words += [] if flag in left_out else of_option
    return words


def _words(parser: argparse.ArgumentParser, path: Path, flag: str, value: Any) -> list[str]:
    action = parser._option_string_actions[flag]
    if action.nargs == 0:
        if not isinstance(value, bool):
            parser.error(f"{path}: {flag[2:]} is true or false, not {value!r}")
        off = [f"--no-{flag[2:]}"] if isinstance(action, argparse.BooleanOptionalAction) else []
        return [flag] if value else off
    if isinstance(action, argparse._AppendAction):
        if not isinstance(value, list):
            parser.error(f"{path}: {flag[2:]} takes a list, not {value!r}")
        return [word for one in value for word in _value_words(parser, path, flag, one)]
    return _value_words(parser, path, flag, value)


def _value_words(parser: argparse.ArgumentParser, path: Path, flag: str, value: Any) -> list[str]:
    action = parser._option_string_actions[flag]
    several = action.nargs not in (None, "?")
    if isinstance(value, (dict, bool)) or isinstance(value, list) != several:
        parser.error(f"{path}: {flag[2:]} takes {'a list' if several else 'one value'}, not {value!r}")
    return [flag, *map(str, value)] if several else [f"{flag}={value}"]
