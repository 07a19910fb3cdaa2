"""The words of `gato-dist dataset`; what they do stands in sharing.py and collect.py."""

import argparse
from pathlib import Path
from typing import Any

FORMATS = ("minari", "jat")


def add_dataset(commands: Any) -> None:
    dataset = commands.add_parser("dataset", help="list, check, join and share datasets").add_subparsers(
        required=True, metavar="ACTION"
    )
    info = dataset.add_parser("info", help="what each task holds")
    info.add_argument("dataset", metavar="DIR", help="or a URL")
    info.add_argument("--html", type=Path, metavar="FILE", help="a page with pictures: returns and lengths")
    info.set_defaults(command=_info)
    validate = dataset.add_parser("validate", help="read everything, and name whatever is wrong")
    validate.add_argument("dataset", metavar="DIR", help="or a URL")
    validate.set_defaults(command=_validate)
    merge = dataset.add_parser("merge", help="join datasets, without an episode twice")
    merge.add_argument("datasets", nargs="+", metavar="DIR", help="or a URL")
    merge.add_argument("--out", type=Path, required=True, metavar="DATA", help="a new folder on this machine")
    merge.set_defaults(command=_merge)
    card = dataset.add_parser("card", help="write the dataset's README.md again")
    card.add_argument("dataset", metavar="DIR", help="or a URL")
    card.set_defaults(command=_card)
    export = dataset.add_parser("export", help="as Minari's datasets, or in JAT's layout")
    export.add_argument("dataset", metavar="DIR", help="or a URL")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="minari: what MINARI_DATASETS_PATH is to be; jat: a new one",
    )
    export.set_defaults(command=_export)
    bring = dataset.add_parser("import", help="from Minari, or from JAT's layout")
    bring.add_argument("source", metavar="SOURCE", help="a folder, or the id of a Minari dataset on this machine")
    bring.add_argument("--format", choices=FORMATS, required=True)
    bring.add_argument("--out", type=Path, required=True, metavar="DATA", help="a new folder on this machine")
    bring.set_defaults(command=_import)


def _info(options: argparse.Namespace) -> int | None:
    from gato_dist.datasets.inspect import print_dataset
    from replay.dataset.storage import Location

    root = Location.of(options.dataset)
    print_dataset(root)
    if options.html:
        from gato_dist.datasets.exchange import write_html

        write_html(root, options.html)
    return None


def _validate(options: argparse.Namespace) -> int | None:
    from gato_dist.datasets.inspect import validate_dataset
    from replay.dataset.storage import Location

    validate_dataset(Location.of(options.dataset))
    return None


def _merge(options: argparse.Namespace) -> int | None:
    from gato_dist.datasets.exchange import merge_datasets
    from replay.dataset.storage import Location

    merge_datasets([Location.of(each) for each in options.datasets], options.out)
    return None


def _card(options: argparse.Namespace) -> int | None:
    from gato_dist.datasets.exchange import rewrite_card
    from replay.dataset.storage import Location

    rewrite_card(Location.of(options.dataset))
    return None


def _export(options: argparse.Namespace) -> int | None:
    from gato_dist.datasets.exchange import export_dataset
    from replay.dataset.storage import Location

    export_dataset(Location.of(options.dataset), options.format, options.out)
    return None


def _import(options: argparse.Namespace) -> int | None:
    from gato_dist.datasets.exchange import import_dataset

    import_dataset(options.source, options.format, options.out)
    return None
