"""`python -m pipelines.cli.taxonomy`: list, show and propose taxonomies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from heml.taxonomy import Taxonomy, TaxonomyError, builtin, builtin_names
from heml.taxonomy.tree_text import drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0 if all went well, 2 with a message if not."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.cli.taxonomy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="names and sizes of the built-in taxonomies")
    show = commands.add_parser("show", help="the tree of a built-in taxonomy, with its classes")
    show.add_argument("name", help="as `list` prints it")
    propose = commands.add_parser(
        "propose",
        help="a hierarchy from trained leaf metrics, as a fragment of a recipe",
        description="Joins leaves whose distances agree and whose segments touch, and prints the "
        "`taxonomy` part of a recipe to review. Start from a recipe whose tree is flat "
        "(tree: {image: [leaf, ...]}), run it to metric_tree, then propose.",
    )
    propose.add_argument("folder", metavar="STORE_FOLDER", help="store of a recipe: store/<name>")
    propose.add_argument(
        "--adjacency", type=float, default=0.5, metavar="SHARE",
        help="share of common borders, the rest is agreement (0 to 1, default 0.5)",
    )  # fmt: skip
    propose.add_argument(
        "--tolerance", type=float, default=0.05, metavar="LIKENESS",
        help="branches this close to their parent are merged into it (0 to 1, default 0.05)",
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "list":
            print("\n".join(_line(builtin(name)) for name in builtin_names()))
        elif chosen.command == "show":
            print(drawn(builtin(chosen.name)))
        else:
            # Needs torch and the store, which the other commands do not.
            from heml.tree.propose import recipe_fragment

            print(recipe_fragment(chosen.folder, chosen.adjacency, chosen.tolerance), end="")
    except (TaxonomyError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _line(taxonomy: Taxonomy) -> str:
    return (
        f"{taxonomy.name:15} {len(taxonomy.class_names):4} classes {len(taxonomy.leaves):4} leaves "
        f"{len(taxonomy.tree):4} branches {len(taxonomy.levels):4} levels"
    )


if __name__ == "__main__":
    sys.exit(main())
