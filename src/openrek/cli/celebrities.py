"""`openrek celebrities`: the gallery of well-known people that RecognizeCelebrities knows."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from openrek.cli.common import HomeOption, JsonOption, UserError, console, console_err, services_from, settings_from
from openrek.cli.progress import work_bar

if TYPE_CHECKING:
    from openrek.service.celebrity_import import Importer, Outcome
    from openrek.service.celebrity_photos import Entry
    from openrek.store.celebrities import Celebrities, Person, Terms

app = typer.Typer(
    no_args_is_help=True,
    help="The gallery of well-known people. Mind the law: use it for media, not to identify private persons.",
)

AgainOption = Annotated[bool, typer.Option("--again", help="Also bring back people who were removed.")]
OutliersOption = Annotated[bool, typer.Option("--keep-outliers", help="Keep photos that seem to show someone else.")]


@app.command("import")
def import_people(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder (one folder a person), .csv, or .jsonl.")],
    again: AgainOption = False,
    keep_outliers: OutliersOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add people. Photos with no face or no clearly largest one are skipped; running it again adds what is new."""
    path = path.expanduser()
    if path.suffix.lower() == ".jsonl" and path.is_file():
        _import_gallery(path, again=again, home=home)
        return
    from openrek.cli.celebrity_files import read_entries

    entries = read_entries(path)
    with _importer(home, again=again, keep_outliers=keep_outliers) as importer:
        _report(_import(entries, len(entries), importer), as_json=as_json)


@app.command("import-wikidata")
def import_wikidata(
    contact: Annotated[
        str, typer.Option(help="Your e-mail or web address: Wikimedia asks every robot for one.", show_default=False)
    ],
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Wikidata ids such as Q42.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with Wikidata ids, one a line.")] = None,
    query: Annotated[Path | None, typer.Option(help="A file with a SPARQL query that binds ?item.")] = None,
    occupation: Annotated[str | None, typer.Option(help="Everyone of an occupation, such as Q33999 (actor).")] = None,
    least_sitelinks: Annotated[int, typer.Option(min=0, help="With --occupation: how many Wikipedias at least.")] = 40,
    limit: Annotated[int, typer.Option(min=1, help="With --occupation: how many people at most.")] = 500,
    language: Annotated[str, typer.Option(help="Language of the names.")] = "en",
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Requests a second.")] = 2.0,
    refresh: Annotated[bool, typer.Option("--refresh", help="Also look again at people who are there.")] = False,
    again: AgainOption = False,
    wikidata_url: Annotated[str | None, typer.Option(help="Wikidata's API.", hidden=True)] = None,
    commons_url: Annotated[str | None, typer.Option(help="Commons' API.", hidden=True)] = None,
    uploads_url: Annotated[str | None, typer.Option(help="Where pictures lie.", hidden=True)] = None,
    sparql_url: Annotated[str | None, typer.Option(help="The query service.", hidden=True)] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add people from Wikidata with their free-licence portraits from Wikimedia Commons. Interrupt, and resume."""
    from openrek.cli.wikidata import COMMONS, SPARQL, UPLOADS, WIKIDATA, Endpoints, Wikimedia, people_query

    endpoints = Endpoints(
        wikidata_url or WIKIDATA, commons_url or COMMONS, uploads_url or UPLOADS, sparql_url or SPARQL
    )
    wikimedia = Wikimedia(contact, endpoints=endpoints, rate=rate, language=language)
    try:
        with _importer(home, again=again, keep_outliers=False) as importer:
            wanted = [*(ids or []), *(_lines(file) if file else [])]
            if query is not None:
                wanted += wikimedia.query(_text(query))
            if occupation is not None:
                _check_ids([occupation])
                wanted += wikimedia.query(people_query(occupation, least_sitelinks, limit))
            if not (wanted or query or occupation):
                raise UserError("name Wikidata ids, or use --file, --query or --occupation")
            wanted = _check_ids(dict.fromkeys(wanted))
            there = set() if refresh else _complete(importer)
            missing = [name for name in wanted if name not in there]
            if len(missing) < len(wanted):
                console_err.print(f"{len(wanted) - len(missing)} people are there already (--refresh looks again)")

            def skipped(wikidata: str, reason: str) -> None:
                console_err.print(f"[yellow]{escape(wikidata)}:[/] {escape(reason)}", soft_wrap=True, highlight=False)

            _report(_import(wikimedia.people(missing, skipped), len(missing), importer), as_json=as_json)
    finally:
        wikimedia.close()


@app.command("list")
def list_people(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show everyone in the gallery, with the licences of their photos."""
    from openrek.service.face_model import current_version
    from openrek.store.celebrities import Celebrities

    services = services_from(settings_from(home=home))
    try:
        version = current_version(services)
        people = Celebrities(services.database)
        everyone, terms = people.everyone(), people.terms()
    finally:
        services.close()
    if as_json:
        answer = [
            {
                "Id": celebrity.id,
                **_json_facts(celebrity.person),
                "References": sum(celebrity.references.values()),
                "Usable": celebrity.references.get(version, 0),
                "Photos": [_json_terms(photo) for photo in terms.get(celebrity.id, ())],
            }
            for celebrity in everyone
        ]
        typer.echo(json.dumps({"Celebrities": answer}, ensure_ascii=False))
        return
    if not everyone:
        typer.echo("The gallery is empty. Fill it with: openrek celebrities import FOLDER", err=True)
        return
    table = Table(box=None, header_style="dim")
    for column in ("id", "name", "gender", "photos", "licences of the photos", "urls"):
        table.add_column(column, justify="right" if column == "photos" else "left", overflow="fold")
    for celebrity in everyone:
        person = celebrity.person
        usable, total = celebrity.references.get(version, 0), sum(celebrity.references.values())
        photos = str(usable) if usable == total else f"{usable} of {total}"
        licences = "; ".join(dict.fromkeys(filter(None, map(_credit, terms.get(celebrity.id, ())))))
        cells = (celebrity.id, person.name, person.gender or "", photos, licences, " ".join(person.urls))
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    if any(not celebrity.references.get(version) for celebrity in everyone):
        console_err.print(
            "People with 0 photos cannot be recognised with the present face model; import their photos again."
        )


@app.command("remove")
def remove(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, as `openrek celebrities list` shows them.")],
    forget: Annotated[
        bool, typer.Option("--forget", help="Keep no hash of the name: a later import may add them again.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Erase people: facts and vectors. A hash of the name stays, so that no later import brings them back."""
    with _gallery(home) as people:
        for celebrity_id in ids:
            person = people.remove(celebrity_id, remember=not forget)
            if person is None:
                raise UserError(f"there is no {celebrity_id} in the gallery; `openrek celebrities list` shows everyone")
            typer.echo(f"{person.name} ({celebrity_id}) is removed.")


@app.command("export")
def export(
    path: Annotated[Path, typer.Argument(help="The .jsonl file to write; - for standard output.")],
    home: HomeOption = None,
) -> None:
    """Write the whole gallery, vectors included, to one file that `import` reads on any server."""
    from openrek.cli.celebrity_exports import write_gallery
    from openrek.store.private_file import replacing

    with _gallery(home) as people:
        if str(path) == "-":
            write_gallery(people, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        if path.suffix.lower() != ".jsonl":
            raise UserError(f"name the file {path}.jsonl: `import` knows an exported gallery by that ending")
        try:
            with replacing(path.expanduser()) as file:
                count = write_gallery(people, file)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    typer.echo(f"{count} people are in {path}. Keep that file as safe as the database.")


# --- parts ------------------------------------------------------------------------------------------------------------


def _import(entries: Iterable["Entry"], total: int, importer: "Importer") -> "Iterator[Outcome]":
    """Add entries under a progress bar; a person who cannot be added is named and the rest goes on."""
    from openrek.service.celebrity_import import Outcome
    from openrek.store.celebrities import RemovedPersonError

    with work_bar() as bar:
        task = bar.add_task("people", total=total)
        for entry in entries:
            name = entry.person.name
            bar.update(task, description=escape(name))
            try:
                outcome = importer.add(entry)
            except RemovedPersonError as error:
                outcome = Outcome(name, None, False, 0, 0, [], [f"{error}; --again brings them back"])
            except ValueError as error:
                outcome = Outcome(name, None, False, 0, 0, [], [str(error)])
            for photo, reason in outcome.skipped:
                console_err.print(f"[yellow]{escape(photo)}:[/] {escape(reason)}", soft_wrap=True, highlight=False)
            for note in outcome.notes:
                console_err.print(f"[bold yellow]{escape(name)}:[/] {escape(note)}", soft_wrap=True, highlight=False)
            bar.advance(task)
            yield outcome


def _report(outcomes: "Iterable[Outcome]", *, as_json: bool) -> None:
    """The summary; exit status 1 when someone has no photo that can be used."""
    table = Table(box=None, header_style="dim")
    for column in ("id", "name", "", "added", "there", "skipped"):
        table.add_column(column, justify="right" if column in ("added", "there", "skipped") else "left")
    people = added = skipped = failed = 0
    for outcome in outcomes:
        state = "not kept" if outcome.id is None else "new" if outcome.new else ""
        counts = (outcome.added, outcome.known, len(outcome.skipped))
        table.add_row(outcome.id or "", escape(outcome.name), state, *map(str, counts))
        people += outcome.id is not None
        failed += outcome.id is None
        added += outcome.added
        skipped += len(outcome.skipped)
        if as_json:
            answer = {"Id": outcome.id, "Name": outcome.name, "New": outcome.new, "Added": outcome.added}
            typer.echo(
                json.dumps(
                    {
                        **{key: value for key, value in answer.items() if value is not None},
                        "Known": outcome.known,
                        "Skipped": [{"Photo": photo, "Reason": reason} for photo, reason in outcome.skipped],
                        "Notes": outcome.notes,
                    },
                    ensure_ascii=False,
                )
            )
    if not as_json:
        console.print(table)
        console.print(f"{people} people, {added} photos added, {skipped} skipped, {failed} people not kept.")
    if failed:
        raise typer.Exit(1)


def _import_gallery(path: Path, *, again: bool, home: Path | None) -> None:
    """Add everyone of an exported gallery. The file is proved whole before the first is written; who cannot be added to
    this gallery is named, and the rest goes on."""
    from openrek.cli.celebrity_exports import read_gallery
    from openrek.service.face_model import vector_lengths
    from openrek.store.celebrities import Celebrities, RemovedPersonError

    services = services_from(settings_from(home=home))
    count = removed = refused = 0
    try:
        people = Celebrities(services.database)
        for celebrity_id, person, references in read_gallery(path, vector_lengths(services.runtime.catalogue)):
            try:
                people.put(person, references, celebrity_id=celebrity_id, again=again)
                count += 1
            except RemovedPersonError as error:
                console_err.print(f"{escape(str(error))}; --again brings them back", soft_wrap=True)
                removed += 1
            except ValueError as error:
                console_err.print(f"[bold yellow]{escape(person.name)}:[/] {escape(str(error))}", soft_wrap=True)
                refused += 1
    finally:
        services.close()
    typer.echo(f"{count} people imported, {removed + refused} left out.")
    if refused:
        raise typer.Exit(1)


def _complete(importer: "Importer") -> set[str]:
    """Wikidata ids of people with a reference of the present model."""
    return {
        celebrity.person.wikidata
        for celebrity in importer.people.everyone()
        if celebrity.person.wikidata is not None and celebrity.references.get(importer.version)
    }


def _json_facts(person: "Person") -> dict[str, object]:
    facts = {
        "Name": person.name,
        "Urls": list(person.urls),
        "KnownGender": person.gender,
        "Wikidata": person.wikidata,
        "Source": person.source,
        "Licence": person.licence,
        "Consent": person.consent,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _json_terms(terms: "Terms") -> dict[str, str]:
    given = {"Source": terms.source, "Licence": terms.licence, "Attribution": terms.attribution}
    return {key: value for key, value in given.items() if value is not None}


def _credit(terms: "Terms") -> str:
    """Licence and attribution as they have to stand beside a photo."""
    return " ".join(part for part in (terms.licence, terms.attribution and f"({terms.attribution})") if part)


def _check_ids(ids: Iterable[str]) -> list[str]:
    found = list(ids)
    for name in found:
        if not re.fullmatch(r"Q[1-9]\d{0,19}", name):
            raise UserError(f"{name!r} is no Wikidata id (such as Q42)")
    return found


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _lines(path: Path) -> list[str]:
    return [line.split("#")[0].strip() for line in _text(path).splitlines() if line.split("#")[0].strip()]


@contextmanager
def _gallery(home: Path | None) -> "Iterator[Celebrities]":
    from openrek.store.celebrities import Celebrities
    from openrek.store.database import Database

    database = Database.open(settings_from(home=home).database_address)
    try:
        yield Celebrities(database)
    finally:
        database.close()


@contextmanager
def _importer(home: Path | None, *, again: bool, keep_outliers: bool) -> "Iterator[Importer]":
    from openrek.service.celebrity_import import Importer
    from openrek.store.celebrities import Celebrities

    services = services_from(settings_from(home=home))
    try:
        people = Celebrities(services.database)
        limit = services.settings.pixel_limit
        yield Importer(people, services.runtime, max_pixels=limit, again=again, keep_outliers=keep_outliers)
    finally:
        services.close()
