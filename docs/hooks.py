"""Let pages link to files outside docs/, such as ../results/x/report.html, as a git host does: they become part of the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

INDEX = "README.md"  # leads back to docs/
FOLDERS = ("benchmarks/results", "machines", "metrics", "results", "studies")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of FOLDERS under the names by which a page in docs/ links to them."""
    root = Path(config.docs_dir).parent
    for folder in FOLDERS:
        for path in sorted(path for path in (root / folder).rglob("*.*") if path.name != INDEX):
            name = path.relative_to(root).as_posix()
            file = File.generated(config, f"../{name}", abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
            file.dest_uri = f"{name.removesuffix('.md')}/index.html" if name.endswith(".md") else name
            files.append(file)
    return files
