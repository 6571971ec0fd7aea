"""Where MLflow's store is: MLFLOW_TRACKING_URI, or a file of the project; and how to name it without its passwords."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from reslab.errors import UserError

VARIABLE = "MLFLOW_TRACKING_URI"
FILE = "mlflow.db"  # of a project, where the variable is not set
USER_VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
SECRET_KEYS = re.compile(r"pass|pwd|secret|token|key|sig", re.IGNORECASE)
IN_ADDRESS = re.compile(r"(?<=://)[^\s'\"]*@")  # user and password, also with signs that should have been quoted
MASK = "***"
IN_MEMORY = ":memory:"


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI if set, else the sqlite store in the main checkout; a relative path in it counts from there."""
    given = os.environ.get(VARIABLE)
    if not given:
        return database_uri(root / FILE)
    scheme, _, rest = given.partition(":")
    if scheme.partition("+")[0] == "sqlite" and rest.startswith("///"):
        path, mark, query = rest[3:].partition("?")
        named = path in ("", IN_MEMORY) or path.startswith("file:")  # not a path
        return given if named else database_uri(root / unquote(path), scheme) + mark + query
    if scheme == "file" and not rest.startswith("/"):
        return (root / rest).as_uri()
    return given if re.match(r"[\w+]+:|databricks$|uc$", given) else (root / given).resolve().as_uri()


def database_uri(path: Path, scheme: str = "sqlite") -> str:
    """The address of an sqlite file. With a ? or % in its name it depends on SQLAlchemy's version what it is taken for."""
    raw = f"{scheme}:///{path}"
    if not re.search(r"[?%]", raw):
        return raw
    from sqlalchemy.engine import make_url

    near = os.path.relpath(path)  # most often the name of a folder above, which need not be said
    for text in (near, quote(near), quote(str(path))):
        if Path(make_url(f"{scheme}:///{text}").database).resolve() == path.resolve():
            return f"{scheme}:///{text}"
    raise UserError(f"MLflow cannot open {path}: rename it, or name another store by {VARIABLE}")


def database_path(uri: str) -> Path | None:
    """The file of an sqlite store; None for any other store, or one that is in memory."""
    database = _database(uri)
    return None if not database or database == IN_MEMORY or database.startswith("file:") else Path(database).resolve()


def is_in_memory(uri: str) -> bool:
    """Whether the store is an sqlite database that no file holds."""
    return _database(uri) in ("", IN_MEMORY)


def _database(uri: str) -> str | None:
    """What an sqlite address names, "" if nothing; None for an address of another kind."""
    if uri.partition(":")[0].partition("+")[0] != "sqlite":
        return None
    from sqlalchemy.engine import make_url

    return make_url(uri).database or ""


def is_http(uri: str) -> bool:
    """Whether the store is a server."""
    return uri.startswith(("http://", "https://"))


def is_remote(uri: str) -> bool:
    """Whether the store is reached through a network."""
    return bool(urlsplit(uri).hostname) if "://" in uri else False


def without_secrets(text: str) -> str:
    """A text with every user and password of an address masked, and whatever else is secret in the tracking address."""
    for secret in sorted(_secrets(os.environ.get(VARIABLE, "")), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return IN_ADDRESS.sub(f"{MASK}@", text)


def _secrets(uri: str) -> set[str]:
    """The passwords and tokens of an address and of the environment, as they are given and as they are meant."""
    found = {os.environ.get(name, "") for name in SECRET_VARIABLES}
    found |= {user.rpartition("@")[0].partition(":")[2] for user in IN_ADDRESS.findall(uri)}
    query = uri.partition("?")[2]
    found |= {value for key, value in parse_qsl(query) if SECRET_KEYS.search(key)}
    found |= {part.partition("=")[2] for part in query.split("&") if SECRET_KEYS.search(part.partition("=")[0])}
    return {secret for given in found for secret in (given, unquote(given)) if secret}
