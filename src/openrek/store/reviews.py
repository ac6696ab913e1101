"""Human review: the flows of the owner, and the loops (one picture's review each) that moderation calls started."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, insert, select

from openrek.store.database import Database
from openrek.store.errors import ExistsError, FullError
from openrek.store.schema import now_ms, review_flows, review_loops

IN_PROGRESS: Final = "InProgress"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose flows and loops: names are unique in an account and region."""

    account_id: str
    region: str


@dataclass(frozen=True, slots=True)
class Loop:
    """A picture handed to people. input: JSON, what they are to see; image: the inline bytes, if it came inline."""

    name: str
    flow_name: str
    fingerprint: str
    input: str
    image: bytes | None
    status: str = IN_PROGRESS
    created_ms: int = 0


class Reviews:
    """The flows and loops of one database. All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_flow(self, owner: Owner, name: str, conditions: str | None) -> None:
        """Set up a flow, or replace one. conditions: JSON, already checked; None: every call starts a review."""
        table = review_flows
        row = {"account_id": owner.account_id, "region": owner.region, "name": name}
        with self._database.begin() as connection:
            connection.execute(delete(table).where(*(table.c[key] == value for key, value in row.items())))
            connection.execute(insert(table).values(**row, conditions=conditions, created_ms=now_ms()))

    def delete_flow(self, owner: Owner, name: str) -> bool:
        """Whether there was one. Its loops stay."""
        table = review_flows
        mine = (table.c.account_id == owner.account_id, table.c.region == owner.region, table.c.name == name)
        with self._database.begin() as connection:
            return connection.execute(delete(table).where(*mine)).rowcount > 0

    def flows(self, owner: Owner) -> dict[str, str | None]:
        """Conditions by the flows' names, ascending."""
        table = review_flows
        query = select(table.c.name, table.c.conditions).where(
            table.c.account_id == owner.account_id, table.c.region == owner.region
        )
        with self._database.read() as connection:
            return {row.name: row.conditions for row in connection.execute(query.order_by(table.c.name))}

    def start(self, owner: Owner, loop: Loop, *, most_open: int) -> bool:
        """Record a loop; False where one of this name with the same fingerprint is there already.

        Raises ExistsError where the name is in use for something else, FullError where `most_open` are open.
        """
        table = review_loops
        mine = (table.c.account_id == owner.account_id, table.c.region == owner.region)
        with self._database.begin(alone="reviews") as connection:
            same_name = select(table.c.fingerprint).where(*mine, table.c.name == loop.name)
            used = connection.execute(same_name).scalar()
            if used is not None:
                if used != loop.fingerprint:
                    raise ExistsError(loop.name)
                return False
            open_loops = select(func.count()).select_from(table).where(*mine, table.c.status == IN_PROGRESS)
            if connection.execute(open_loops).scalar_one() >= most_open:
                raise FullError(most_open)
            connection.execute(
                insert(table).values(
                    account_id=owner.account_id,
                    region=owner.region,
                    name=loop.name,
                    flow_name=loop.flow_name,
                    status=loop.status,
                    fingerprint=loop.fingerprint,
                    input=loop.input,
                    image=loop.image,
                    created_ms=now_ms(),
                )
            )
            return True

    def loops(self, owner: Owner) -> list[Loop]:
        """All loops, the oldest first, without their pictures."""
        table = review_loops
        columns = (
            table.c.name,
            table.c.flow_name,
            table.c.fingerprint,
            table.c.input,
            table.c.status,
            table.c.created_ms,
        )
        query = select(*columns).where(table.c.account_id == owner.account_id, table.c.region == owner.region)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.id)).all()
        return [
            Loop(row.name, row.flow_name, row.fingerprint, row.input, None, row.status, row.created_ms) for row in rows
        ]

    def input(self, owner: Owner, name: str) -> str | None:
        """What the reviewers of a loop are to see (JSON); None where there is no such loop."""
        table = review_loops
        query = select(table.c.input).where(
            table.c.account_id == owner.account_id, table.c.region == owner.region, table.c.name == name
        )
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def image(self, owner: Owner, name: str) -> bytes | None:
        """The inline picture of a loop; None where it lies in a bucket or there is no such loop."""
        table = review_loops
        query = select(table.c.image).where(
            table.c.account_id == owner.account_id, table.c.region == owner.region, table.c.name == name
        )
        with self._database.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else bytes(found)
