#!/usr/bin/env python3
"""Put the chat templates of real models that llama.cpp collects into the cache.

    get_templates.py [--to FOLDER]     (default: ~/.cache/tandem/templates, or under XDG_CACHE_HOME)

They are part of the package get_vocabs.py reads; each has its model's own licence, so none is kept
in this repository.
"""

import argparse
import pathlib

from get_vocabs import cache_folder, provide


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=pathlib.Path, default=cache_folder() / "templates")
    provide(
        parser.parse_args().to,
        lambda path: path.suffix == ".jinja" and path.parts[-3:-1] == ("models", "templates"),
    )


if __name__ == "__main__":
    main()
