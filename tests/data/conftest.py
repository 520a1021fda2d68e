"""What the tests of files share: the compliance checker."""

import json
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def findings():
    """What the compliance checker finds in a file, everything it can, by convention."""
    runner = pytest.importorskip("compliance_checker.runner")
    runner.CheckSuite.load_all_available_checkers()

    def check(path: Path) -> dict[str, list]:
        out = path.with_suffix(".json")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runner.ComplianceChecker.run_checker(
                str(path),
                ["cf:1.8", "acdd:1.3"],
                0,
                "strict",
                output_filename=str(out),
                output_format="json",
            )
        return {
            name: [
                (result["name"], result["msgs"])
                for level in ("high_priorities", "medium_priorities", "low_priorities")
                for result in said[level]
                if result["value"][0] < result["value"][1]
            ]
            for name, said in json.loads(out.read_text()).items()
        }

    return check
