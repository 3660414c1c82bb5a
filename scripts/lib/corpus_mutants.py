"""Damaged copies of JPEGs: the same sources, number and seed make the same files."""

import os
import random

# Small ones, so that damage in a header is as likely as it is in a scan, and thousands fit a disk.
LARGEST = 200_000


def make(sources, count, seed, folder):
    """Writes `count` mutants of the files into the folder, and returns their paths."""
    chance = random.Random(seed)
    sources = sorted(path for path in sources if os.path.getsize(path) <= LARGEST)
    paths = []
    for number in range(count):
        with open(chance.choice(sources), "rb") as file:
            whole = file.read()
        kind = chance.choice(KINDS)
        paths.append(os.path.join(folder, f"{number:05}-{kind.__name__}.jpg"))
        with open(paths[-1], "wb") as file:
            file.write(kind(chance, bytearray(whole), place(chance, whole)))
    return paths


def place(chance, whole):
    """Every other one lies before the first scan."""
    scan = whole.find(b"\xff\xda")
    return chance.randrange(2, scan + 14 if scan > 0 and chance.random() < 0.5 else len(whole))


def length(chance):
    return chance.choice((1, 2, 4, 16, 64, 1024))


def flip(chance, file, at):
    for _ in range(chance.choice((1, 1, 2, 8))):
        file[min(at, len(file) - 1)] ^= 1 << chance.randrange(8)
        at += chance.randrange(16)
    return file


def cut(_chance, file, at):
    return file[:at]


def delete(chance, file, at):
    del file[at : at + length(chance)]
    return file


def double(chance, file, at):
    file[at:at] = file[at : at + length(chance)]
    return file


def overwrite(chance, file, at):
    size = min(length(chance), len(file) - at)
    file[at : at + size] = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return file


KINDS = (flip, cut, delete, double, overwrite)
