"""`check`, `explain`, `functions` and `schema`: for the people who write mapping files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mhbridge.cli.options import as_json, mappings_option, say, show_json
from mhbridge.errors import Diagnostic, explanations
from mhbridge.model import Severity

if TYPE_CHECKING:
    from mhbridge.mapping.supplier import SupplierMapping

__all__ = ["check", "explain", "functions", "schema"]


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@as_json
@click.option(
    "--lines", is_flag=True, help="A line for each on standard output, as editors read them: FILE:LINE:COLUMN."
)
@click.option("--watch", is_flag=True, help="Check again whenever a file is saved, until it is stopped.")
@mappings_option
def check(paths: tuple[Path, ...], as_json: bool, lines: bool, watch: bool, roots: tuple[Path, ...]) -> int:
    """
    Check all mapping files, or only say what concerns PATHS: every problem at once, with its place and how to mend it.

    A PATH that is a folder with `suppliers/` or `documents/` in it is a root of mapping files; one below such a folder
    belongs to it.
    """
    if watch:
        from mhbridge.cli.watching import again
        from mhbridge.mapping.library import default_roots

        folders = default_roots([*(_root_of(path) for path in paths), *roots])
        return again(lambda: _check(paths, as_json, lines, roots), folders)
    return _check(paths, as_json, lines, roots)


def _check(paths: tuple[Path, ...], as_json: bool, lines: bool, roots: tuple[Path, ...]) -> int:
    from mhbridge.mapping.catalogue import load

    own = {path: _root_of(path) for path in paths}
    catalogue = load([*own.values(), *roots])
    found = catalogue.check()
    others = [path for path in paths if path != own[path]]
    if others:
        found = [d for d in found if any(_below(Path(d.span.file), path) for path in others)]
    if as_json:
        show_json([_plain(d) for d in found])
    elif lines:
        for diagnostic in found:
            hint = f" ({diagnostic.hint})" if diagnostic.hint else ""
            click.echo(f"{diagnostic.span}: {diagnostic.code} {diagnostic.message}{hint}")
    else:
        for diagnostic in found:
            say(diagnostic.render(), severity=diagnostic.severity)
        errors = sum(d.severity is Severity.ERROR for d in found)
        names = catalogue.names()
        say(f"{len(names)} mappings, {errors} errors, {len(found) - errors} warnings.")
    return 1 if any(d.severity is Severity.ERROR for d in found) else 0


def _root_of(path: Path) -> Path:
    """
    The root of mapping files that a path is, or stands in.

    Raises:
        click.BadParameter: there is none: nothing of it would be checked, which is not the same as no errors.
    """
    for folder in (path, *path.parents, *path.resolve().parents):
        if _is_root(folder):
            return folder
    inner = sorted(filter(_is_root, path.iterdir())) if path.is_dir() else []
    hint = f"did you mean {inner[0]}?" if inner else "name the folder that holds suppliers/, or a path below it"
    raise click.BadParameter(f"there are no mapping files in {path}: {hint}", param_hint="'[PATHS]...'")


def _is_root(path: Path) -> bool:
    return any((path / part).is_dir() for part in ("suppliers", "documents"))


def _below(file: Path, path: Path) -> bool:
    resolved = file.resolve()
    return resolved == path.resolve() or resolved.is_relative_to(path.resolve())


def _plain(d: Diagnostic) -> dict[str, Any]:
    return {
        "code": d.code, "severity": d.severity.value, "file": d.span.file, "line": d.span.line, "column": d.span.column,
        "end_line": d.span.end_line, "end_column": d.span.end_column, "message": d.message, "hint": d.hint,
    }  # fmt: skip


@click.command()
@click.argument("what", metavar="CODE|SUPPLIER/FEED|MESSAGE-ID")
@mappings_option
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The gateway's configuration, to find a message.",
)
@click.option(
    "--lineage",
    "shape",
    type=click.Choice(["table", "json", "csv"]),
    help="Of a mapping: every element of the output, the items it is made of, their source paths and lines.",
)
def explain(what: str, roots: tuple[Path, ...], config: Path | None, shape: str | None) -> int:
    """Explain a diagnostic code (E104), a mapping (what becomes of each item), or a message of the store."""
    if what.isdigit():
        from mhbridge.cli.looking import show_trace

        return show_trace(int(what), config, as_json=False)
    if "/" in what and shape is not None:
        from mhbridge.cli.tracing import show_lineage

        return show_lineage(_mapping(what, roots), shape)
    if "/" in what:
        return _explain_mapping(what, roots)
    entry = explanations().get(what.upper())
    if entry is None:
        from mhbridge.mapping.checker.declarations import did_you_mean

        raise click.UsageError(f"there is no code {what!r}. {did_you_mean(what.upper(), explanations())}".strip())
    click.secho(f"{entry.code}: {entry.title}", bold=True)
    for label, text in (("cause", entry.cause), ("example", entry.example), ("mend", entry.mend)):
        if text:
            click.echo(f"\n{label}:")
            click.echo("\n".join(f"  {line}" for line in text.strip().splitlines()))
    return 0


def _mapping(name: str, roots: tuple[Path, ...]) -> SupplierMapping:
    """A mapping by its name."""
    from mhbridge.mapping.catalogue import load

    catalogue = load(roots)
    try:
        return catalogue.mapping(name)
    except KeyError:
        from mhbridge.mapping.checker.declarations import did_you_mean

        raise click.UsageError(
            f"there is no mapping {name!r}. {did_you_mean(name, catalogue.names())}".strip()
        ) from None


def _explain_mapping(name: str, roots: tuple[Path, ...]) -> int:
    """Each item of a mapping: from which paths, under which heading."""
    from mhbridge.mapping.lineage import paths_of

    mapping = _mapping(name, roots)
    click.secho(f"{name}: {mapping.document.title} from {mapping.format.name}", bold=True)
    rows = [
        (item.name, ", ".join(paths_of(item.body)) or "stated by the mapping", str(item.body.span))
        for item in mapping.file.items
    ]
    width = max((len(row[0]) for row in rows), default=0)
    for item_name, paths, place in rows:
        click.echo(f"  {item_name:<{width}}  <- {paths}  ({place})")
    for path, reason in mapping.file.ignored:
        click.echo(f"  {path.text:<{width}}  ignored: {reason}")
    return 0


@click.command()
@click.argument("name", required=False)
@as_json
@click.option("--markdown", is_flag=True, help="The whole reference, as it stands in mappings/FUNCTIONS.md.")
def functions(name: str | None, as_json: bool, markdown: bool) -> int:
    """The functions of the mapping language, each with its executed examples."""
    from mhbridge.mapping.functions import functions as registered

    known = registered()
    if name is not None and name not in known:
        from mhbridge.mapping.checker.calls import instead

        raise click.UsageError(f"there is no function {name!r}: {instead(name)}")
    chosen = [known[name]] if name is not None else list(known.values())
    if markdown:
        from mhbridge.mapping.functions.reference import reference

        click.echo(reference(chosen), nl=False)
        return 0
    if as_json:
        show_json([{"name": f.name, "signature": f.signature, "summary": f.summary} for f in chosen])
        return 0
    for function in chosen:
        click.secho(function.signature, bold=True)
        click.echo(f"  {function.summary}")
        for example in function.examples if name is not None else ():
            click.echo(f"    {example.shown}  →  {example.result}")
    return 0


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("mappings/schema"), show_default=True
)
@mappings_option
def schema(out: Path, roots: tuple[Path, ...]) -> int:
    """
    Write JSON Schemas into OUT, for completion in editors (yaml-language-server): one for the mappings of each document
    type, and one for each other kind of file.
    """
    import orjson

    from mhbridge.mapping.catalogue import load
    from mhbridge.mapping.pack_schemas import build_schema, checks_schema, clocks_schema, items_schema, watches_schema
    from mhbridge.mapping.schema import Files, binding_schema, shared_schema, supplier_schema

    catalogue = load(roots)
    documents = [
        one for name in catalogue.library.folders("documents") if (one := catalogue.document(name)) is not None
    ]
    # Whoever names a folder works in it; of other suppliers' tables nobody else can read one.
    own = [one.parent.name for root in roots for one in sorted(root.glob("suppliers/*/supplier.yaml"))]

    def there(kind: str) -> tuple[str, ...]:
        folders = (f"codes/{kind}", *(f"suppliers/{one}/codes/{kind}" for one in own))
        names = dict.fromkeys(name for folder in folders for name in catalogue.library.names(folder, ".csv"))
        return tuple(f"{name}.csv" for name in names)

    files = Files(there("tables"), there("lists"))
    found = {document.name: binding_schema(document, files) for document in documents}
    found |= {
        "supplier": supplier_schema(), "shared": shared_schema(documents, files), "items": items_schema(),
        "r4": build_schema(), "clocks": clocks_schema(), "watches": watches_schema(), "checks": checks_schema(),
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    for name, made in found.items():
        path = out / f"{name}.schema.json"
        path.write_bytes(orjson.dumps(made, option=orjson.OPT_INDENT_2) + b"\n")
        say(f"{path}")
    return 0
