"""What stores answer instead of an object: some answers are worth another try, the others become one sentence.

The clients of stores retry in layers of their own, each with its own idea of what is worth it. Here one layer does, and
counts. What a store says is never shown but for its code, because messages of strangers may hold anything.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from whosings.errors import ChangedObjectError, MissingObjectError, StorageError, WhosingsError

TRIES = 5
"""Times that one request is made before its failure counts."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0  # doubled from try to try
_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs", "gcsfs", "google", "requests", "urllib3")

_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "DefaultCredentialsError",
    "RefreshError",
}
_WRONG_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure", "InvalidSecurity"}
_EXPIRED = {"ExpiredToken", "TokenRefreshRequired", "RequestExpired"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"}
_NAMES = {"InvalidBucketName", "KeyTooLongError", "InvalidURI", "ParamValidationError", "NoSuchUpload"}
_PASSING = {"RequestTimeout", "SlowDown", "OperationAborted", "ConditionalRequestConflict", "BadDigest", "429", "409"}

Result = TypeVar("Result")


class TransferError(Exception):
    """What arrived is not what the store said it would send; worth another try."""


@dataclass(frozen=True)
class Answer:
    """What a store answered instead.

    Attributes:
        status: of HTTP; 0 where there was none.
        code: the store's own word for it; empty where it gave none.
    """

    status: int = 0
    code: str = ""

    @classmethod
    def of(cls, error: BaseException | None) -> Answer:
        """The answer behind an error of a store's client."""
        while error is not None:
            response = getattr(error, "response", None)
            if isinstance(response, dict):  # botocore
                status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                return cls(int(status), _word(response.get("Error", {}).get("Code")))
            if type(error).__name__ == "HttpError":  # gcsfs
                number = str(getattr(error, "code", None) or 0)
                return cls(int(number) if number.isdigit() else 0, _word(number))
            error = error.__cause__
        return cls()

    @property
    def is_passing(self) -> bool:
        """Whether the store may answer otherwise in a moment."""
        return self.status >= 500 or self.status == 429 or self.code in _PASSING


def attempt(function: Callable[[], Result], location: str, action: str) -> Result:
    """What a request gives, made several times if need be.

    Args:
        function: makes the request.
        action: what is done, as a participle: read, listed, written.

    Raises:
        StorageError: it is refused, or fails time after time.
    """
    wait_s = _FIRST_WAIT_S
    for left in reversed(range(TRIES)):
        try:
            return function()
        except WhosingsError:
            raise
        except Exception as error:
            refusal = refused(error, location, action)
            if refusal is not None:
                raise refusal from error
            if not _is_of_a_store(error):
                raise
            if not left:
                raise _gave_up(error, location, action) from error
        # Machines that were refused at one moment are not to come back at one moment.
        time.sleep(wait_s * random.uniform(0.5, 1))
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
    raise AssertionError("unreachable")


def refused(error: BaseException, location: str, action: str) -> StorageError | None:
    """The sentence for an error that another try would not change; None for any other."""
    answer, kind = Answer.of(error), type(error).__name__
    code, said = answer.code, f" ({answer.code})" if answer.code else ""
    if answer.is_passing or isinstance(error, TransferError):
        return None
    if kind in _NO_CREDENTIALS:
        return StorageError(location, "needs credentials, and none can be used", "set them; docs/storage.md says where")
    if code in _WRONG_CREDENTIALS or answer.status == 401:
        return StorageError(location, f"the store does not accept these credentials{said}", "check key and secret")
    if code in _EXPIRED:
        return StorageError(location, f"the credentials have expired{said}", "get new ones, and run again")
    if code == "RequestTimeTooSkewed":
        return StorageError(location, f"the store refuses this machine's clock{said}", "set the clock, and run again")
    if code in _REGION or kind == "NoRegionError":
        return StorageError(location, f"the bucket is in another region{said}", "set AWS_REGION to the bucket's")
    if code == "NoSuchBucket" or "bucket does not exist" in str(error):
        return StorageError(location, "no such bucket", "check its name, and the account or endpoint")
    if code in ("PreconditionFailed", "412", "304") or isinstance(error, FileExistsError):
        return ChangedObjectError(
            location, "was changed by somebody else meanwhile", "run again with what is there now"
        )
    if (isinstance(error, PermissionError) and not answer.status) or answer.status == 403 or "orbidden" in str(error):
        problem = f"may not be {action} with these credentials{said or ' (403)'}"
        return StorageError(location, problem, "check the location, and ask for permission")
    if isinstance(error, FileNotFoundError) or answer.status == 404:
        return MissingObjectError(location, "no such object", "check the location")
    if code in _NAMES or kind in _NAMES or isinstance(error, ValueError):
        return StorageError(location, "is no location that this store can have", "check bucket, key and endpoint")
    if 400 <= answer.status < 500:
        return StorageError(location, f"cannot be {action}: the store refuses the request{said}", "check the location")
    return None


def _is_of_a_store(error: BaseException) -> bool:
    """Whether a fault is the store's or the network's, and none of this program."""
    return isinstance(error, OSError | TransferError) or type(error).__module__.partition(".")[0] in _CLIENTS


def _gave_up(error: BaseException, location: str, action: str) -> StorageError:
    answer = Answer.of(error)
    if isinstance(error, TransferError):
        why = str(error)
    elif type(error).__name__ == "FlexibleChecksumError":
        why = "what arrives has another checksum than the store gives"
    elif answer.status or answer.code:
        why = f"the store answers {answer.code or answer.status}"
    elif isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        why = "no answer in time"
    else:
        why = f"the connection fails, {type(error).__name__}"
    problem = f"could not be {action} in {TRIES} tries ({why})"
    return StorageError(location, problem, "check network and store, and run again")


def _word(code: object) -> str:
    """A store's code, if it is a word: servers may say anything."""
    found = re.fullmatch(r"[A-Za-z0-9]{1,60}", str(code or ""))
    return found[0] if found else ""
