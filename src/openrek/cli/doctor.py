"""`openrek doctor`: what is installed, where, and what is wrong."""

import json
from dataclasses import asdict

import typer

from openrek.cli.common import JsonOption, console, settings_from

MARKS = {"good": "[green]✓[/]", "note": "[yellow]•[/]", "wrong": "[bold red]✗[/]"}


def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed, where, and what is wrong, each with the command that mends it.

    Changes nothing. Exit status 1 when something is wrong.
    """
    from rich.markup import escape

    from openrek.cli.checks import State, examine

    findings = []
    area = ""
    for finding in examine(settings_from()):
        findings.append(finding)
        if as_json:
            continue
        if finding.area != area:
            area = finding.area
            console.print(f"[bold]{area}[/]")
        console.print(f"  {MARKS[finding.state]} {escape(finding.text)}", highlight=False, soft_wrap=True)
        if finding.fix:
            console.print(f"    [cyan]→ {escape(finding.fix)}[/]", highlight=False, soft_wrap=True)
    count = sum(finding.state is State.WRONG for finding in findings)
    if as_json:
        print(json.dumps({"wrong": count, "findings": [asdict(finding) for finding in findings]}, indent=2))
    elif count:
        console.print(f"\n[bold red]{count} thing{'s are' if count > 1 else ' is'} wrong.[/]")
    else:
        console.print("\n[bold green]Nothing is wrong.[/]")
    if count:
        raise typer.Exit(1)
