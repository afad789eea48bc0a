#!/usr/bin/env python3
"""Put llama.cpp's tokenizer fixtures into the cache: vocabularies as GGUF with golden token ids.

    get_vocabs.py [--to FOLDER]     (default: ~/.cache/tandem/vocabs, or under XDG_CACHE_HOME)

They are part of the llama-cpp-python source package, pinned here by hash; bench/peer's copy of that
package is used when it is there. Nothing of the package is installed or run from here.
"""

import argparse
import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

NAME, VERSION = "llama-cpp-python", "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SDIST = f"llama_cpp_python-{VERSION}.tar.gz"


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "tandem"


def check(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"{path}: SHA-256 is {digest}, not {SHA256}; remove it and try again")


def extract(sdist, folder, chosen):
    """Files whose path in the package is chosen; by basename, so none can leave the folder."""
    count = 0
    with tarfile.open(sdist) as archive:
        for member in archive:
            path = pathlib.PurePosixPath(member.name)
            if not member.isfile() or not chosen(path):
                continue
            (folder / path.name).write_bytes(archive.extractfile(member).read())
            count += 1
    return count


def provide(folder, chosen):
    """Fills the folder with the package's chosen files, unless they are all there."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = folder / "complete"  # holds the hash of the package whose files are all here
    if complete.is_file() and complete.read_text() == SHA256:
        print(f"already in {folder}")
        return
    shared = cache_folder() / "peers" / SDIST
    with tempfile.TemporaryDirectory(dir=folder) as work:
        sdist = shared if shared.is_file() else pathlib.Path(work) / SDIST
        if sdist != shared:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                 NAME, "--dest", work, f"{NAME}=={VERSION}"],
                check=True,
            )  # fmt: skip
        check(sdist)
        count = extract(sdist, folder, chosen)
    complete.write_text(SHA256)
    print(f"{count} files in {folder}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=pathlib.Path, default=cache_folder() / "vocabs")
    provide(parser.parse_args().to, lambda path: path.name.startswith("ggml-vocab-"))


if __name__ == "__main__":
    main()
