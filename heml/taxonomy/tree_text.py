"""A taxonomy's tree as text."""

from __future__ import annotations

from heml.taxonomy import Taxonomy


def drawn(taxonomy: Taxonomy) -> str:
    """The tree as text, a node a line, leaves with their classes."""
    lines = [taxonomy.root]

    def draw(node: str, indent: str) -> None:
        children = taxonomy.children(node)
        for number, child in enumerate(children, start=1):
            last = number == len(children)
            classes = ", ".join(taxonomy.leaves.get(child, ()))
            said = f"  ({classes})" if classes and classes != child else ""
            lines.append(f"{indent}{'└─' if last else '├─'} {child}{said}")
            draw(child, indent + ("   " if last else "│  "))

    draw(taxonomy.root, "")
    if taxonomy.ignored:
        lines.append(f"ignored: {', '.join(taxonomy.ignored)}")
    return "\n".join(lines)
