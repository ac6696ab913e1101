"""Random secrets of the server, kept in the database so that they survive a restart and all servers share them."""

import secrets

from sqlalchemy import select

from openrek.store.database import Database
from openrek.store.schema import now_ms, server_secrets


class ServerSecret:
    """A named secret of 32 random bytes, made by whoever needs it first and never changed.

    One name, one purpose: the default one signs page tokens. Raises StoreError.
    """

    def __init__(self, database: Database, name: str = "page-tokens") -> None:
        table = server_secrets
        query = select(table.c.secret).where(table.c.name == name)
        with database.read() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            row = {"name": name, "secret": secrets.token_bytes(32), "created_ms": now_ms()}
            with database.begin() as connection:
                database.insert_if_absent(table, row, connection)
                found = connection.execute(query).scalar_one()
        self.name = name
        self.value = bytes(found)
