"""`openrek reviews`: the flows by which moderated pictures are handed to people, and the reviews recorded so far."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openrek.cli.common import JsonOption, UserError, console, services_from, settings_from

if TYPE_CHECKING:
    from openrek.settings import Settings
    from openrek.store.reviews import Owner

app = typer.Typer(no_args_is_help=True, help="Hand moderated pictures to people: flows and recorded reviews.")

FlowArgument = Annotated[str, typer.Argument(metavar="FLOW", help="The flow's name.")]


@app.command("put-flow")
def put_flow(
    name: FlowArgument,
    conditions: Annotated[
        Path | None, typer.Option(help="JSON file: when people look. Without it they look at every picture.")
    ] = None,
) -> None:
    """Set a flow up, or replace it. Calls name it by its ARN (FlowDefinitionArn), which is printed."""
    from openrek.service.human_review import FLOW_NAME
    from openrek.service.review_conditions import ConditionsError, check_conditions
    from openrek.store.reviews import Reviews

    if not FLOW_NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a flow: lower-case letters, digits and hyphens, up to 63")
    text = conditions.read_text(encoding="utf-8") if conditions else None
    if text is not None:
        try:
            check_conditions(text)
        except ConditionsError as error:
            raise UserError(f"{conditions}: {error}") from error
    settings = settings_from()
    services = services_from(settings)
    try:
        Reviews(services.database).put_flow(_owner(settings), name, text)
    finally:
        services.close()
    typer.echo(f"arn:aws:sagemaker:{settings.region}:{settings.account_id}:flow-definition/{name}")


@app.command("delete-flow")
def delete_flow(name: FlowArgument) -> None:
    """Delete a flow; its reviews stay."""
    from openrek.store.reviews import Reviews

    settings = settings_from()
    services = services_from(settings)
    try:
        if not Reviews(services.database).delete_flow(_owner(settings), name):
            raise UserError(f"there is no flow {name!r}; see: openrek reviews list")
    finally:
        services.close()


@app.command("list")
def list_reviews(as_json: JsonOption = False) -> None:
    """The flows, and the reviews that calls started. The pages to work on them come later."""
    from rich.table import Table

    from openrek.store.reviews import Reviews

    settings = settings_from()
    services = services_from(settings)
    try:
        reviews, owner = Reviews(services.database), _owner(settings)
        flows, loops = reviews.flows(owner), reviews.loops(owner)
    finally:
        services.close()
    if as_json:
        content = {
            "flows": [{"name": name, "conditions": json.loads(text) if text else None} for name, text in flows.items()],
            "loops": [
                {"name": loop.name, "flow": loop.flow_name, "status": loop.status, "input": json.loads(loop.input)}
                for loop in loops
            ],
        }
        typer.echo(json.dumps(content, indent=2))
        return
    table = Table(box=None, header_style="dim")
    for column in ("review", "flow", "status"):
        table.add_column(column)
    for loop in loops:
        table.add_row(loop.name, loop.flow_name, loop.status)
    console.print(f"flows: {', '.join(flows) or 'none'}", highlight=False, soft_wrap=True, markup=False)
    console.print(table if loops else "no reviews yet")


def _owner(settings: "Settings") -> "Owner":
    from openrek.store.reviews import Owner

    return Owner(settings.account_id, settings.region)
