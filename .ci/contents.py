"""Whether a wheel has what the source tree has, and nothing else: ``python contents.py WHEEL``."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
PACKAGES = {"gradstore": ROOT / "gradstore", "gradstore_cli": ROOT / "cli" / "gradstore_cli"}


def expected() -> set[str]:
    """Files of the packages that git knows, as a wheel names them: code, py.typed, styles, scripts, templates."""
    found = set()
    for name, folder in PACKAGES.items():
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
            cwd=folder, check=True, capture_output=True, text=True,
        ).stdout.splitlines()  # fmt: skip
        found |= {f"{name}/{each}" for each in listed if (folder / each).is_file()}
    return found


def main(wheel: str) -> None:
    with ZipFile(wheel) as archive:
        names = {each for each in archive.namelist() if not each.endswith("/")}
        info = next(each.partition("/")[0] for each in names if ".dist-info/" in each)
        points = configparser.ConfigParser()
        points.optionxform = str
        points.read_string(archive.read(f"{info}/entry_points.txt").decode())
    held, wanted = {each for each in names if not each.startswith(info)}, expected()
    for what, found in (("lacks", wanted - held), ("should not have", held - wanted)):
        if found:
            sys.exit(f"{wheel} {what} {', '.join(sorted(found))}")
    for name in PACKAGES:
        if f"{name}/py.typed" not in held:
            sys.exit(f"{wheel} lacks {name}/py.typed")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {"console_scripts": project["scripts"], **project["entry-points"]}
    if {name: dict(points[name]) for name in points.sections()} != declared:
        sys.exit(f"{wheel}: its entry points are not those of pyproject.toml")
    if not any(each.startswith(f"{info}/licenses/") for each in names):
        sys.exit(f"{wheel} has no licence")
    print(f"{Path(wheel).name}: {len(held)} files, {len(declared['gradstore.selectors'])} selectors")


if __name__ == "__main__":
    main(sys.argv[1])
