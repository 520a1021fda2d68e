"""Puts the tables of results/*.json into README.md, between the marks that name them."""

import json
import re

from _recording import FOLDER, markdown

MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    path = FOLDER / "README.md"

    def table(found: re.Match) -> str:
        record = FOLDER / "results" / f"{found[2]}.json"
        told = markdown(json.loads(record.read_text())) if record.exists() else "Not run yet."
        return f"{found[1]}{told}\n{found[3]}"

    path.write_text(MARK.sub(table, path.read_text()))


if __name__ == "__main__":
    main()
