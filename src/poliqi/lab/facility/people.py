"""Tenants, users and their trainings."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from poliqi.lab.facility.database import Change, Database
from poliqi.lab.facility.localtime import day_of
from poliqi.lab.facility.records import Category, Role, Tenant, Training, User
from poliqi.lab.facility.refusal import Reason, Refused, checked_text
from poliqi.lab.store.naming import TENANT_NAME

__all__ = ["People", "checked_name"]

_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
_USER: Final = (
    "SELECT login, name, tenant, role, EXISTS (SELECT 1 FROM user_closed c WHERE c.login = u.login) FROM user u"
)


def checked_name(what: str, name: str) -> str:
    """A short name for files and commands. Raises Refused."""
    if TENANT_NAME.fullmatch(name) is None:
        raise Refused(
            Reason.BAD_VALUE,
            f"{what} {name[:40]!a}: 1 to 40 of a to z, 0 to 9 and -, and neither begins nor ends with -",
        )
    return name


class People:
    """Who there is and what they may do."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    # -------------------------------------------------------------- who may do what

    def acting(self, by: User) -> User:
        """The same person as they stand now. Raises Refused where they have left or never were."""
        now = self.user(by.login)
        if now.is_closed:
            raise Refused(Reason.NOT_ALLOWED, f"{now.login} is closed: an operator can tell why")
        return now

    def operator(self, by: User) -> User:
        """The same person, who must be an operator. Raises Refused."""
        now = self.acting(by)
        if not now.is_operator:
            raise Refused(Reason.NOT_ALLOWED, f"{now.login} is no operator of this facility: ask one")
        return now

    # -------------------------------------------------------------- tenants

    def tenants(self) -> list[Tenant]:
        """All, by name."""
        return [_tenant(row) for row in self._database.read("SELECT * FROM tenant ORDER BY name")]

    def tenant(self, name: str) -> Tenant:
        """Raises Refused where there is none."""
        for row in self._database.read("SELECT * FROM tenant WHERE name = ?", (name,)):
            return _tenant(row)
        raise Refused(Reason.UNKNOWN, f"no tenant is called {name[:63]!a}")

    def add_tenant(self, name: str, category: Category, legal_name: str, *, address: str = "", by: User) -> Tenant:
        """A further institute or company."""
        operator = self.operator(by)
        with self._database.changing(operator.login) as change:
            return _put_tenant(change, name, category, legal_name, address)

    # -------------------------------------------------------------- users

    def users(self, tenant: str | None = None) -> list[User]:
        """All, or of a tenant, by login."""
        where, values = ("", ()) if tenant is None else (" WHERE tenant = ?", (tenant,))
        return [_user(row) for row in self._database.read(f"{_USER}{where} ORDER BY login", values)]

    def user(self, login: str) -> User:
        """Also one that is closed. Raises Refused where there is none."""
        for row in self._database.read(f"{_USER} WHERE login = ?", (login,)):
            return _user(row)
        raise Refused(Reason.UNKNOWN, f"no user has the login {login[:64]!a}")

    def add_user(self, login: str, name: str, tenant: str, role: Role = Role.MEMBER, *, by: User) -> User:
        """A further person of a tenant."""
        operator = self.operator(by)
        with self._database.changing(operator.login) as change:
            return _put_user(change, login, name, self.tenant(tenant), role)

    def found(self, tenant: str, legal_name: str, address: str, login: str, name: str) -> User:
        """The institute that runs the facility and its first operator, where nobody stands yet."""
        with self._database.changing(login) as change:
            if change.run("SELECT 1 FROM user LIMIT 1"):
                raise Refused(Reason.NOT_ALLOWED, "this facility has its people already: an operator adds others")
            own = _put_tenant(change, tenant, Category.OWN, legal_name, address)
            issuer = ", ".join(part for part in (own.legal_name, own.address) if part)
            change.add("setting", None, "issuer", issuer)
            change.tell("setting", name="issuer", value=issuer)
            return _put_user(change, login, name, own, Role.OPERATOR)

    def close_user(self, login: str, *, by: User) -> User:
        """Who left: may do nothing any more; what they made stays."""
        operator = self.operator(by)
        with self._database.changing(operator.login) as change:
            found = self.user(login)
            if found.is_closed:
                return found
            if login == operator.login:
                raise Refused(Reason.NOT_ALLOWED, f"{login}: nobody closes themselves; another operator can")
            change.add("user_closed", login, change.at_s)
            change.tell("user closed", login=login)
        return self.user(login)

    # -------------------------------------------------------------- trainings

    def add_training(self, login: str, instrument: str, last_day: date, *, by: User) -> Training:
        """Leave to use an instrument up to a day, that day included. The newest word counts."""
        operator = self.operator(by)
        with self._database.changing(operator.login) as change:
            self.user(login)
            if not change.run("SELECT 1 FROM instrument WHERE name = ?", (instrument,)):
                raise Refused(Reason.UNKNOWN, f"no instrument is called {instrument[:63]!a}")
            change.add("training", None, login, instrument, last_day.isoformat(), change.at_s)
            change.tell("training", login=login, instrument=instrument, last_day=last_day.isoformat())
        return Training(login, instrument, last_day)

    def withdraw_training(self, login: str, instrument: str, *, by: User) -> Training:
        """From now on the person may not use it: valid until yesterday."""
        return self.add_training(login, instrument, day_of(self._database.now_s()) - timedelta(1), by=by)

    def trainings(self, login: str) -> list[Training]:
        """What counts now, valid or not, by instrument."""
        rows = self._database.read(
            "SELECT login, instrument, last_day FROM training WHERE id IN "
            "(SELECT max(id) FROM training WHERE login = ? GROUP BY instrument) ORDER BY instrument",
            (login,),
        )
        return [Training(login, instrument, date.fromisoformat(day)) for login, instrument, day in rows]

    def check_training(self, login: str, instrument: str, end_s: int) -> None:
        """Raises Refused unless the person is trained up to the last second of a booking."""
        held = next((t for t in self.trainings(login) if t.instrument == instrument), None)
        if held is None:
            raise Refused(Reason.TRAINING, f"{login} has no training for {instrument}: an operator gives one")
        if held.last_day < day_of(end_s - 1):
            raise Refused(
                Reason.TRAINING,
                f"the training of {login} for {instrument} is valid until {held.last_day}, the booking "
                f"ends on {day_of(end_s - 1)}: renew it first",
            )


def _put_tenant(change: Change, name: str, category: Category, legal_name: str, address: str) -> Tenant:
    checked_name("tenant", name)
    legal_name = checked_text("legal name", legal_name, 200)
    address = checked_text("address", address, 300, is_needed=False)
    if change.run("SELECT 1 FROM tenant WHERE name = ?", (name,)):
        raise Refused(Reason.TAKEN_NAME, f"tenant {name} stands already: records are never changed")
    change.add("tenant", name, category.value, legal_name, address)
    change.tell("tenant added", tenant=name, category=category.value, legal_name=legal_name)
    return Tenant(name, category, legal_name, address)


def _put_user(change: Change, login: str, name: str, tenant: Tenant, role: Role) -> User:
    if _LOGIN.fullmatch(login) is None:
        raise Refused(Reason.BAD_VALUE, f"login {login[:40]!a}: 1 to 64 of a-z 0-9 . _ @ + - and no sign first")
    name = checked_text("name", name, 200)
    if role is Role.OPERATOR and tenant.category is not Category.OWN:
        raise Refused(
            Reason.NOT_ALLOWED,
            f"{login} of {tenant.name} cannot be an operator: operators see every tenant, so only people of an own "
            "institute can",
        )
    if change.run("SELECT 1 FROM user WHERE login = ?", (login,)):
        raise Refused(Reason.TAKEN_NAME, f"login {login} stands already")
    change.add("user", login, name, tenant.name, role.value)
    change.tell("user added", login=login, tenant=tenant.name, role=role.value)
    return User(login, name, tenant.name, role)


def _tenant(row: tuple[str, str, str, str]) -> Tenant:
    name, category, legal_name, address = row
    return Tenant(name, Category(category), legal_name, address)


def _user(row: tuple[str, str, str, str, int]) -> User:
    login, name, tenant, role, is_closed = row
    return User(login, name, tenant, Role(role), bool(is_closed))
