"""What the package says for Python, as one types it in a shell: `at='2020'` is `--until 2020` there."""

import re
from collections.abc import Callable

from assim.cli.choosing import METHODS

OPTIONS = {
    "at": "--until",
    "horizon": "--horizon",
    "origins": "--origins",
    "paths": "--paths",
    "step": "--step",
    "qc": "--qc",
    "update": "--update",
    "since": "--since",
    "members": "--members",
    "lyapunov_time": "--lyapunov-time",
    "by": "--by",
    "folds": "--folds",
    "rows": "--rows",
    "baseline": "--baseline",
}


def as_typed(sentence: str) -> str:
    """The sentence with options in the place of Python's arguments.

    Args:
        sentence: what an error, a warning or a mend says.

    Returns:
        The same for the command line; unchanged where it names no argument.
    """
    for pattern, words in RULES:
        sentence = re.sub(pattern, words, sentence)
    return sentence


def _settings(match: re.Match) -> str:
    """`SVI(num_steps=600)` as `--method svi --set num_steps=600`."""
    method = next(name for name, made in METHODS.items() if made == match[1])
    return f"--method {method} {_each(match[2])}"


def _each(settings: str, owner: str = "") -> str:
    return " ".join(f"--set {owner}{setting}" for setting in settings.split(", "))


RULES: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (rf"\b({'|'.join(METHODS.values())})\((\w+=[^()]*)\)", _settings),
    (r"\bLaplace\((\w+)\(\)\)", r"--method laplace --set curvature=\1"),
    (
        r"\bascent=Ascent\(([^()]*)\)",  # only Laplace advises on it
        lambda match: f"--method laplace {_each(match[1], 'ascent.')}",
    ),
    (r"\(ascent=\)", "(--set ascent.num_steps=5000)"),
    (r"(?:open_dataset\(\.\.\., )?variables=\[\.\.\., '(\w+)'\]\)?", r"--variables A,B,\1"),
    (r"open_dataset\(\.\.\., variables=\[\.\.\.\]\)|variables=\[\.\.\.\]", "--variables A,B"),
    (r"\bassim\.align\(ds, '([^']+)'\)", r"--step \1"),
    (r"\bassim\.align\b", "--step"),
    (r" \(or --\w+ on the command line\)", ""),
    (r"\(assim\.split, or (assim fit [^)]*)\)", r"(\1)"),
    (r"\(in_sample=True, (--in-sample)\)", r"(\1)"),
    (rf"(?<![\w./])({'|'.join(OPTIONS)})=('[^']*'|[\w:.+-]*\w)", lambda m: _option(m[1], m[2])),
    (r", or use restore\(init\)\.model", ""),
    (r", or read it lazily with chunks=", ""),
    (r"\bgive ds=", "give FILE"),
    (
        r"(?<![\w./])(resume|update|since|init|hold|baseline|points|rows)=(?=[\s.:,;]|$)",
        r"--\1",
    ),
    (r"\bnum_draws=(?=[.)])", "--draws"),
    (r"\binfer\(init=tree\)", "assim fit --init"),
    (
        r"fit again from one of them, as init .*'posterior'",
        "fit that of one, as --set num_members=1",
    ),
    (r"\bgain=models\.Gain\(\)", "--set gain=Gain"),
    (r"\bperiodic=(\([^()]*\))", lambda m: f"--set periodic={_plain(m[1]).lower()}"),
    (
        r"\b(every|window|lead)=('[^']*'|\w+)(?= is (not a duration: write it as '6h'|shorter than one))",
        lambda m: _option(m[1], m[2]),
    ),
    (
        r"\b(start)=('[^']*'|[\w:.+-]*\w)(?= is not a time| and the end)",
        lambda m: _option(m[1], m[2]),
    ),
    (r"\bwindow=\S+ and refit=\S+ are", "--window and --refit are"),
    (r"\b(refit)=('[^']*'|\w+)(?= is no number)", lambda m: _option(m[1], m[2])),
    (
        r"give False for one fit, n for one at every n-th origin, or True",
        "give never for one fit, 3 for one at every third origin, or always",
    ),
    (r"\b(origins|baseline)=\[([^]]*)\]", lambda m: f"--{m[1]} {_plain(m[2])}"),
    (r"\bgive None, a dataset, or times", "give a file, or times"),
    (r"\bpost = assim\.accustom\(post, train\)", "assim accustom FIT FILE -o FIT"),
    (r"\bfit it with (mask_rate=[\d.]*\d)", r"fit it with --set \1"),
    (r"\bhold=(\([^()]*\)|'[^']*')", lambda m: f"--hold {_plain(m[1])}"),
)


def _plain(names: str) -> str:
    """A tuple, or a word in quotes, as names with commas."""
    return re.sub(r"[ '()]", "", names).strip(",")


def _option(name: str, value: str) -> str:
    """An option with what was typed; quotes only where a shell needs them."""
    plain = value.strip("'")
    return f"{OPTIONS.get(name, f'--{name}')} {plain if re.fullmatch(r'[^\s]+', plain) else repr(plain)}"
