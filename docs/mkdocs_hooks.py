"""MkDocs hooks: the documents at the root of the repository are pages of the site, too."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
AT_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(\]\()((?:\.\./)*)(docs/)?([\w./-]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents at the root under the names that the navigation has."""
    for name, page in AT_ROOT.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between the repository's documents into links between the site's pages."""
    at_root = page.file.src_uri in AT_ROOT.values()
    depth = page.file.src_uri.count("/")

    def link(found: re.Match[str]) -> str:
        start, up, docs, path = found.groups()
        if path in AT_ROOT and (at_root or len(up) == 3 * (depth + 1)):
            return f"{start}{'../' * depth}{AT_ROOT[path]}"
        return f"{start}{path}" if at_root and docs else found[0]

    return LINK.sub(link, markdown)
