"""Copy a module of a package and all modules of the package that it imports, with their data files.

    imported.py /app lacrosse_assets.gamestream.__main__ /simulator

Imports within functions count as well. Nothing is executed.
"""

import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path


def imported_names(file: Path, package: str) -> Iterator[str]:
    """What the file imports, as full names. Some of them are names in a module and not modules."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_files(root: Path, module: str) -> set[Path]:
    """The files of `module` and of the modules below `root` that it imports, and the data files beside `module`."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = root.joinpath(*name.split("."))
        is_package = (path / "__init__.py").exists()
        file = path / "__init__.py" if is_package else path.with_suffix(".py")
        if not file.exists() or file in found:
            continue
        found.add(file)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        waiting += imported_names(file, name if is_package else name.rpartition(".")[0])
    folder = root.joinpath(*module.split(".")).parent
    data = {file for file in folder.iterdir() if file.is_file() and file.suffix not in (".py", ".pyc")}
    return found | data


def main(root: Path, module: str, target: Path) -> None:
    for file in sorted(imported_files(root, module)):
        copy = target / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
