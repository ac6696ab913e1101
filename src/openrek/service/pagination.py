"""Page tokens: opaque, signed, bound to the question they continue, and short-lived."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson
from itsdangerous import BadData, BadSignature, SignatureExpired, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from openrek.contract.call import Call
from openrek.contract.errors import InvalidPaginationTokenException

# every NextToken of the service model takes at least this many characters
LONGEST_TOKEN: Final = 255
# members that may differ from one page to the next
_PAGING: Final = frozenset({"NextToken", "MaxResults"})


class PageTokens:
    """Makes and reads `NextToken`s.

    A token holds the state of one walk through a result: where the next page begins. It is signed with `secret` (bytes
    that every process of this server shares) together with the operation, the account, the region and all parameters
    but NextToken and MaxResults, so that it opens only for the same question. It expires `lifetime` seconds after it
    was made.
    """

    def __init__(self, secret: bytes, lifetime: int = 86_400) -> None:
        self._secret = secret
        self._lifetime = lifetime

    def seal(self, call: Call, state: Mapping[str, Any]) -> str:
        """The token, of at most 255 characters, that continues `call` from `state`, a small JSON object.

        Raises ValueError for a state that does not fit; 150 bytes of JSON do.
        """
        token = str(self._serializer(call).dumps(dict(state)))
        if len(token) > LONGEST_TOKEN:
            raise ValueError(f"a page token of {len(token)} characters; {LONGEST_TOKEN} are allowed")
        return token

    def open(self, call: Call, token: str) -> dict[str, Any]:
        """The state that `seal` put into `token`.

        Raises InvalidPaginationTokenException for a token that is forged, damaged, expired, or made for another
        operation, account, region or set of parameters.
        """
        try:
            state: dict[str, Any] = self._serializer(call).loads(token, max_age=self._lifetime)
            # base64 has several spellings of the same bytes ("/" for "_", spare bits): only ours is a token we made
            signature = token.rpartition(".")[2]
            if base64_encode(base64_decode(signature)) != signature.encode():
                raise BadSignature("another spelling of the signature")
        except SignatureExpired:
            raise InvalidPaginationTokenException(
                f"Invalid Pagination Token: tokens expire after {self._lifetime / 3600:g} hours; begin without one."
            ) from None
        except BadData:
            raise InvalidPaginationTokenException from None
        return state

    def _serializer(self, call: Call) -> URLSafeTimedSerializer:
        question = {name: value for name, value in call.request.items() if name not in _PAGING}
        digest = sha256(orjson.dumps(question, default=repr, option=orjson.OPT_SORT_KEYS)).digest()
        who = f"{call.operation}/{call.caller.account_id}/{call.caller.region}/".encode()
        return URLSafeTimedSerializer(
            self._secret,
            salt=b"openrek.page/" + who + digest,
            signer_kwargs={"digest_method": sha256, "key_derivation": "hmac"},
        )
