"""
Tokens by signed assertion: we sign who we are, the token endpoint gives a token, and requests carry it.

SMART App Launch 2.0, Backend Services, §4.2 and §5; RFC 7523; NHS England's signed JWT for application-restricted APIs.
While the endpoint gives none, nothing is sent: there must never be a request without the token that is configured.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from mhbridge.errors import ConfigurationError, DestinationHeld, DestinationUnavailable
from mhbridge.ports import Clock

if TYPE_CHECKING:
    import ssl

    from mhbridge.config import JwtAuth, Secret

__all__ = ["BearerToken", "SignedTokens"]

#: An assertion lives as long as the exchange takes; endpoints refuse more than five minutes.
_ASSERTION: Final = timedelta(minutes=4)
#: A token is renewed this long before its end, so that none ends on its way.
_MARGIN: Final = timedelta(seconds=60)
_ANSWER_LIMIT: Final = 100_000
_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class BearerToken:
    """A fixed token, read anew for each request so that it can be changed while the gateway runs."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def __call__(self) -> Mapping[str, str]:
        """The headers of a request."""
        return {"Authorization": f"Bearer {self._token.reveal()}"}


class SignedTokens:
    """
    Tokens from an endpoint, one at a time, kept until shortly before their end.

    Args:
        auth: who we are, our key, and the endpoint.
    """

    def __init__(self, auth: JwtAuth, *, clock: Clock, context: ssl.SSLContext | None, timeout: float = 30.0) -> None:
        self._auth = auth
        self._clock = clock
        self._context = context
        self._timeout = timeout
        self._one = asyncio.Lock()
        self._token = ""
        self._until: datetime | None = None
        # At the start, so that a key that cannot sign is found before anything waits to be sent.
        sign(auth, b"")

    async def __call__(self) -> Mapping[str, str]:
        """The headers of a request."""
        async with self._one:
            if self._until is None or self._clock() >= self._until:
                await self._renew()
            return {"Authorization": f"Bearer {self._token}"}

    async def _renew(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _TYPE,
            "client_assertion": self._assertion(),
        } | ({"scope": self._auth.scope} if self._auth.scope else {})
        now = self._clock()
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "mhbridge"}) as session,
                session.post(
                    self._auth.token_url, data=form, allow_redirects=False, ssl=self._context or True
                ) as response,
            ):
                status, content = response.status, await response.content.read(_ANSWER_LIMIT)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DestinationUnavailable("D959", "the token endpoint cannot be reached") from error
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise DestinationHeld("D944", "the token endpoint refuses us")
        if status != HTTPStatus.OK:
            raise DestinationUnavailable("D959", "the token endpoint gives no token now")
        try:
            answer = orjson.loads(content)
            token, seconds = answer["access_token"], float(answer.get("expires_in", 300))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise DestinationUnavailable("D959", "the token endpoint's answer cannot be understood") from None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise DestinationUnavailable("D959", "the token endpoint's answer cannot be understood")
        self._token, self._until = token, now + max(timedelta(seconds=seconds) - _MARGIN, timedelta())

    def _assertion(self) -> str:
        auth, now = self._auth, self._clock()
        head = {"alg": auth.algorithm, "typ": "JWT"} | ({"kid": auth.key_id} if auth.key_id else {})
        claims = {
            "iss": auth.client_id,
            "sub": auth.client_id,
            "aud": auth.token_url,
            "jti": secrets.token_urlsafe(24),
            "iat": int(now.timestamp()),
            "exp": int((now + _ASSERTION).timestamp()),
        }
        signed = f"{_encoded(orjson.dumps(head))}.{_encoded(orjson.dumps(claims))}"
        return f"{signed}.{_encoded(sign(auth, signed.encode()))}"


def sign(auth: JwtAuth, content: bytes) -> bytes:
    """
    A signature as JSON Web Signature has it (RFC 7518 §3.3 and §3.4).

    Raises:
        ConfigurationError: the key cannot be used.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

    digest: Any = {"384": hashes.SHA384(), "512": hashes.SHA512()}[auth.algorithm[2:]]
    try:
        key = serialization.load_pem_private_key(auth.key.reveal().encode(), password=None)
    except (ValueError, TypeError, OSError, UnsupportedAlgorithm):
        raise ConfigurationError([("C822", "the key of private_key_jwt is no PEM private key")]) from None
    if auth.algorithm.startswith("RS") and isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding.PKCS1v15(), digest)
    if auth.algorithm == "ES384" and isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        r, s = utils.decode_dss_signature(key.sign(content, ec.ECDSA(digest)))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")
    raise ConfigurationError([("C822", f"the key of private_key_jwt is not one for {auth.algorithm}")])


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
