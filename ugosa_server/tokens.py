"""`ugosa-server token create | list | revoke`: who may use the server from elsewhere.

They work on the store's file, beside a running server, which looks a token up at every call: a new token is
good at once, a revoked one refused at once.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ugosa_server.config import load_config
from ugosa_server.errors import BadOptionError
from ugosa_server.files import expanded, make_state_dir, private_umask
from ugosa_server.jobs.retention import S_PER_DAY, check_state_dir, require_database
from ugosa_server.jobs.store import STORE_FILE_NAME, Store

MAX_EXPIRES_DAYS = 36_500


def add_token_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `token` and what it can do."""
    token = commands.add_parser("token", help="make, list and revoke tokens for callers from other machines")
    actions = token.add_subparsers(dest="action", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="TOML file of the server")
    common.add_argument("--state-dir", metavar="DIR", help="state directory of the server")

    create = actions.add_parser("create", parents=[common], help="print a new token; it is shown only once")
    create.add_argument("--principal", required=True, metavar="NAME", help="whose jobs it gives access to")
    create.add_argument("--expires", type=float, metavar="DAYS", help="worth nothing afterwards")
    create.set_defaults(run=_create)

    listing = actions.add_parser("list", parents=[common], help="show ids, principals and ends; no secrets")
    listing.set_defaults(run=_list)

    revoke = actions.add_parser("revoke", parents=[common], help="make a token worthless at once")
    revoke.add_argument("token_id", metavar="ID", help="as `token list` shows it")
    revoke.add_argument(
        "--cancel-jobs", action="store_true", help="end all jobs of its principal that wait or run, too"
    )
    revoke.set_defaults(run=_revoke)


@contextlib.contextmanager
def _store(options: argparse.Namespace, *, may_make: bool = False) -> Iterator[Store]:
    config = load_config(options.config, {"state_dir": options.state_dir})
    if not may_make:
        require_database(expanded(config.state_dir))
    elif not (expanded(config.state_dir) / STORE_FILE_NAME).is_file():
        print(f"no server has worked in {config.state_dir}; start one there for this token", file=sys.stderr)
    state_dir = make_state_dir(config.state_dir)
    check_state_dir(state_dir)
    with private_umask():
        store = Store(state_dir / STORE_FILE_NAME)
    with contextlib.closing(store):
        yield store


def _create(options: argparse.Namespace) -> int:
    if options.expires is not None and not 0 < options.expires <= MAX_EXPIRES_DAYS:
        raise BadOptionError(
            f"--expires is {options.expires}, but must be a number of days above 0, at most"
            f" {MAX_EXPIRES_DAYS}; without it a token never expires"
        )
    with _store(options, may_make=True) as store:
        lifetime_s = None if options.expires is None else options.expires * S_PER_DAY
        print(store.tokens.create(options.principal, lifetime_s))
    return 0


def _list(options: argparse.Namespace) -> int:
    with _store(options) as store:
        for token in store.tokens.all():
            end = "never expires" if token.expire_time_s is None else f"expires {_day(token.expire_time_s)}"
            print(f"{token.token_id}  {token.principal}  made {_day(token.create_time_s)}  {end}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    with _store(options) as store:
        principal = store.tokens.revoke(options.token_id)
        if options.cancel_jobs:
            n_cancelled = store.jobs.cancel_all(principal)
            print(f"revoked; jobs of {principal} cancelled: {n_cancelled}; its songs and stems stay")
        else:
            print("revoked; songs and jobs that came with it stay, and those that wait still run")
    return 0


def _day(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s))
