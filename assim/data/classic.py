"""Whether a classic netCDF file can be whole: its header walked before the C library sees it.

The library trusts the counts in a header and may loop for hours on a damaged one. The layout is that of the netCDF
Classic Format Specification: magic, number of records, then the lists of dimensions, attributes and variables,
each a tag and a count; version 5 has counts of eight bytes, versions 2 and 5 offsets of eight.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
MOST_DIMENSIONS = 1024
STREAMING = (2**32 - 1, 2**64 - 1)


class Broken(Exception):
    """A header that says what cannot be."""


@dataclass
class _Header:
    file: BinaryIO
    size: int
    version: int

    def take(self, count: int) -> bytes:
        if count < 0 or self.file.tell() + count > self.size:
            raise Broken("it ends before its header does")
        return self.file.read(count)

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def count(self) -> int:
        return self.number(8 if self.version == 5 else 4)

    def skip_padded(self, count: int) -> None:
        self.take(-(-count // 4) * 4)

    def listed(self, tag: int) -> int:
        found, length = self.number(4), self.count()
        if (found, length) != (0, 0) and found != tag:
            raise Broken("a list in its header has the wrong tag")
        if length > self.size:
            raise Broken("a list in its header is longer than the file")
        return length

    def skip_attributes(self) -> None:
        for _ in range(self.listed(ATTRIBUTES)):
            self.skip_padded(self.count())
            size = _size(self.number(4))
            self.skip_padded(size * self.count())


def check_classic(path: Path) -> None:
    """Walks the header of a classic netCDF file and compares what it claims with the file.

    Args:
        path: a file that starts with CDF.

    Raises:
        Broken: a header that cannot be, or a file shorter than its variables.
    """
    with path.open("rb") as file:
        head = _Header(file, path.stat().st_size, 1)
        head.version = head.take(4)[3]
        records = head.count()
        lengths = []
        for _ in range(head.listed(DIMENSIONS)):
            head.skip_padded(head.count())
            lengths.append(head.count())
        head.skip_attributes()
        blocks = [_variable(head, lengths) for _ in range(head.listed(VARIABLES))]
    recorded = [size for _, size, is_record in blocks if is_record]
    step = recorded[0] if len(recorded) == 1 else sum(-(-size // 4) * 4 for size in recorded)
    if records in STREAMING:
        records = 1
    for begin, size, is_record in blocks:
        end = begin + size + (step * (records - 1) if is_record else 0)
        if end > head.size and (records or not is_record):
            raise Broken(f"its variables reach to byte {end} and the file has {head.size}")


def _variable(head: _Header, lengths: list[int]) -> tuple[int, int, bool]:
    """Where a variable begins, how many bytes it (or one record of it) takes, whether it has records."""
    head.skip_padded(head.count())
    rank = head.count()
    if rank > MOST_DIMENSIONS:
        raise Broken(f"a variable claims {rank} dimensions")
    at = [head.count() for _ in range(rank)]
    if any(i >= len(lengths) for i in at):
        raise Broken("a variable names a dimension that is not there")
    head.skip_attributes()
    width = _size(head.number(4))
    head.count()
    begin = head.number(4 if head.version == 1 else 8)
    is_record = bool(at) and lengths[at[0]] == 0
    inner = at[1:] if is_record else at
    return begin, width * math.prod(lengths[i] for i in inner), is_record


def _size(kind: int) -> int:
    if kind not in SIZES:
        raise Broken(f"a variable or attribute has the unknown type {kind}")
    return SIZES[kind]
