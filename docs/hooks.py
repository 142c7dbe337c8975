"""What MkDocs needs to know of this repository: pages that lie outside docs/, notebooks as pages, links to both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = {
    "README.md": "index.md",
    "MODEL_CARD.md": "model-card.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "CITATION.cff": "CITATION.cff",
}
"""Files of the repository, and where they are on the site."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)[^)#\s]+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/."""
    root = Path(config.docs_dir).parent
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(root / source)))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=_as_markdown(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository become links between pages; what is not on the site stays as it is."""
    place = page.file.src_uri
    outside = {there: source for source, there in OUTSIDE.items()}
    source = place if place.startswith("notebooks/") else outside.get(place, f"docs/{place}")

    def on_the_site(link: re.Match[str]) -> str:
        target = normpath(join(dirname(source), link[0]))
        if target.startswith("notebooks/"):
            target = target.replace(".ipynb", ".md")
        there = OUTSIDE.get(target, target.removeprefix("docs/"))
        return relpath(there, dirname(place) or ".") if files.get_file_from_path(there) else link[0]

    return _LINK.sub(on_the_site, markdown)


def _as_markdown(path: Path) -> str:
    """A notebook's text and code, without outputs."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text())["cells"]]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells) + "\n"
