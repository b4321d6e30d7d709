"""The tables of a PostgreSQL database, as steps from release to release. A step that was released never changes."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

from counterpoint.errors import JournalFormatError

SCHEMA = "counterpoint"
STATUS_EVENTS = ("run_created", "run_forked", "run_started", "run_paused", "run_continued", "run_ended")
LOCK = 0x636F756E74657270
"""Number of the lock that whoever changes the tables holds."""

SERVER = MetaData()
"""What a database has beside the tables of `database.INDEX` and the events and turns of all runs."""
HEADS = Table(
    "heads",
    SERVER,
    Column("run_id", String, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("batch", BigInteger, nullable=False),
    Column("written_at", Float, nullable=False),
)
"""The writer of each journal, and the number of its last commit: after a broken connection it tells what arrived."""
BLOBS = Table(
    "blobs",
    SERVER,
    Column("run_id", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


def m001_runs(connection: Connection) -> None:
    """Runs, leases, requests; journals with their values. As text: the tables of later releases may look otherwise."""
    for statement in M001.split(";"):
        connection.exec_driver_sql(statement)


M001 = f"""
CREATE TABLE runs (
    run_id text PRIMARY KEY, name text NOT NULL, cwd text NOT NULL, script text NOT NULL, created_at float8 NOT NULL);
CREATE TABLE leases (
    run_id text PRIMARY KEY, epoch integer NOT NULL, host text NOT NULL, pid integer NOT NULL,
    pid_started text NOT NULL, heartbeat_at float8 NOT NULL, released integer NOT NULL);
CREATE TABLE requests (
    id bigserial PRIMARY KEY, run_id text NOT NULL, verb text NOT NULL, target text, body bytea NOT NULL,
    "by" text NOT NULL, asked_at float8 NOT NULL);
CREATE INDEX requests_run ON requests (run_id, id);
CREATE TABLE events (
    run_id text, seq integer, at float8 NOT NULL, epoch integer NOT NULL, type text NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (run_id, seq));
CREATE INDEX events_status ON events (run_id, seq) WHERE type IN {STATUS_EVENTS};
CREATE INDEX events_tagged ON events (run_id, seq) WHERE type = 'run_tagged';
CREATE TABLE turns (
    id bigserial PRIMARY KEY, run_id text NOT NULL, agent text NOT NULL, n integer NOT NULL, at float8 NOT NULL,
    body bytea NOT NULL);
CREATE INDEX turns_agent ON turns (run_id, agent, id);
CREATE TABLE blobs (run_id text, name text, data bytea NOT NULL, PRIMARY KEY (run_id, name));
CREATE TABLE heads (run_id text PRIMARY KEY, epoch integer NOT NULL, batch bigint NOT NULL, written_at float8 NOT NULL)
"""


def m002_errands(connection: Connection) -> None:
    """Agents at work on other machines. Workers need no right but to call the functions, which check the token."""
    for statement in M002.split("--;"):
        connection.exec_driver_sql(statement)


M002 = """
CREATE TABLE errands (
    id text PRIMARY KEY, run_id text NOT NULL, agent text NOT NULL, digest text NOT NULL, token text NOT NULL,
    body bytea NOT NULL, holder integer NOT NULL DEFAULT 0);
CREATE INDEX errands_run ON errands (run_id);
CREATE TABLE reports (
    errand text REFERENCES errands ON DELETE CASCADE, n integer, run_id text NOT NULL,
    body bytea NOT NULL, applied boolean NOT NULL DEFAULT false, PRIMARY KEY (errand, n));
CREATE INDEX reports_new ON reports (run_id) WHERE NOT applied;
CREATE TABLE notes (
    errand text NOT NULL REFERENCES errands ON DELETE CASCADE, n bigserial NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (errand, n));
CREATE TABLE parcels (
    errand text NOT NULL REFERENCES errands ON DELETE CASCADE, name text NOT NULL, data bytea NOT NULL,
    PRIMARY KEY (errand, name))
--;
CREATE FUNCTION errand_take(an_errand text, a_token text)
RETURNS TABLE (its_holder integer, its_body bytea, reported integer)
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    UPDATE errands SET holder = holder + 1 WHERE id = an_errand AND token = a_token
    RETURNING holder, body, (SELECT coalesce(max(n), 0) FROM reports WHERE errand = an_errand)
$$
--;
CREATE FUNCTION errand_held(an_errand text, a_token text, a_holder integer) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    SELECT count(*) = 1 FROM (
        SELECT id FROM errands WHERE id = an_errand AND token = a_token AND holder = a_holder FOR SHARE) AS held
$$
--;
CREATE FUNCTION errand_reports(an_errand text, a_token text, a_holder integer) RETURNS TABLE (its_body bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    SELECT body FROM reports WHERE errand_held(an_errand, a_token, a_holder) AND errand = an_errand ORDER BY n
$$
--;
CREATE FUNCTION errand_post(an_errand text, a_token text, a_holder integer, number integer, told bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
BEGIN
    IF octet_length(told) > 134217728 OR NOT errand_held(an_errand, a_token, a_holder) THEN
        RETURN false;
    END IF;
    INSERT INTO reports (errand, n, run_id, body)
        SELECT an_errand, number, run_id, told FROM errands WHERE id = an_errand ON CONFLICT DO NOTHING;
    RETURN true;
END $$
--;
CREATE FUNCTION errand_notes(an_errand text, a_token text, a_holder integer, after bigint)
RETURNS TABLE (held boolean, number bigint, its_body bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    SELECT is_held, n, body
    FROM (SELECT errand_held(an_errand, a_token, a_holder) AS is_held) AS asked
    LEFT JOIN notes ON is_held AND errand = an_errand AND n > after ORDER BY n
$$
--;
CREATE FUNCTION errand_blob(an_errand text, a_token text, a_holder integer, a_name text) RETURNS bytea
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    SELECT data FROM blobs JOIN errands USING (run_id)
    WHERE id = an_errand AND name = a_name AND errand_held(an_errand, a_token, a_holder)
$$
--;
CREATE FUNCTION errand_parcel(an_errand text, a_token text, a_holder integer, a_name text, some_data bytea)
RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    INSERT INTO parcels SELECT an_errand, a_name, some_data
    WHERE octet_length(some_data) <= 536870912 AND errand_held(an_errand, a_token, a_holder)
    ON CONFLICT (errand, name) DO UPDATE SET data = excluded.data RETURNING true
$$
--;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA counterpoint FROM PUBLIC
"""


def m003_shares(connection: Connection) -> None:
    """Places at providers (`shares.py`). Workers need no right but to call the functions."""
    for statement in M003.split("--;"):
        connection.exec_driver_sql(statement)


M003 = """
CREATE TABLE shares (
    account text, holder text, run_id text NOT NULL, weight float8 NOT NULL, most integer NOT NULL,
    wants integer NOT NULL, granted integer NOT NULL, had float8 NOT NULL, at float8 NOT NULL, until float8 NOT NULL,
    PRIMARY KEY (account, holder))
--;
CREATE FUNCTION share_report(
    an_account text, a_holder text, a_run text, a_weight float8, at_most integer, wanted integer, used integer,
    lease_s float8)
RETURNS TABLE (
    its_holder text, its_run text, its_weight float8, its_most integer, it_wants integer, its_granted integer,
    it_had float8)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
DECLARE
    this_at float8;
    least float8;
BEGIN
    IF NOT (a_weight BETWEEN 0.01 AND 100 AND at_most > 0 AND wanted >= 0 AND used >= 0 AND lease_s BETWEEN 0 AND 60
            AND octet_length(a_holder) < 500) THEN
        RAISE EXCEPTION 'a report of places that cannot be';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(an_account, 7));
    this_at := extract(epoch FROM clock_timestamp());
    DELETE FROM shares WHERE account = an_account AND until < this_at;
    SELECT coalesce(min(had / weight), 0) * a_weight INTO least FROM shares WHERE account = an_account;
    INSERT INTO shares VALUES (
        an_account, a_holder, a_run, a_weight, at_most, wanted, used, least, this_at, this_at + lease_s)
    ON CONFLICT (account, holder) DO UPDATE SET
        weight = excluded.weight, most = excluded.most, wants = excluded.wants, granted = excluded.granted,
        had = shares.had + shares.granted * (excluded.at - shares.at), at = excluded.at, until = excluded.until;
    RETURN QUERY SELECT holder, run_id, weight, most, wants, granted, had FROM shares WHERE account = an_account;
END $$
--;
CREATE FUNCTION share_take(an_account text, a_holder text, due integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    UPDATE shares SET granted = greatest(granted, least(due, (
        SELECT min(most) - coalesce(sum(granted) FILTER (WHERE holder <> a_holder), 0)
        FROM shares WHERE account = an_account)))
    WHERE account = an_account AND holder = a_holder RETURNING granted
$$
--;
CREATE FUNCTION share_leave(an_account text, a_holder text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = counterpoint, pg_temp AS $$
    DELETE FROM shares WHERE account = an_account AND holder = a_holder
$$
--;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA counterpoint FROM PUBLIC
"""

MIGRATIONS: list[Callable[[Connection], None]] = [m001_runs, m002_errands, m003_shares]


def migrate(connection: Connection, place: str) -> None:
    """Brings the tables to this release. Refuses those of a newer one: JournalFormatError."""
    if _version(connection, place) == len(MIGRATIONS):
        return
    connection.exec_driver_sql("BEGIN")
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.versions (version integer PRIMARY KEY)")
    for number in range(_version(connection, place) + 1, len(MIGRATIONS) + 1):
        MIGRATIONS[number - 1](connection)
        connection.execute(text("INSERT INTO versions VALUES (:number)"), {"number": number})
    connection.exec_driver_sql("COMMIT")


def _version(connection: Connection, place: str) -> int:
    there = connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.versions"}).scalar()
    found = connection.execute(text("SELECT max(version) FROM versions")).scalar() if there is not None else None
    if found is not None and found > len(MIGRATIONS):
        raise JournalFormatError(
            f"{place} was written by a newer release (format {found}; this one reads up to {len(MIGRATIONS)}).",
            hint="Update Counterpoint to read it.",
        )
    return found or 0
