"""Settings: every option an administrator may set, with its meaning and its default."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from vmoodle.secret import Secret


def _as_secret(value: object) -> object:
    return Secret(value) if isinstance(value, str) else value


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _a_command(value: str) -> str:
    """Refuse words that no quote ends; nothing runs them through a shell."""
    shlex.split(value)
    return value


OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
CommandLine = Annotated[str, AfterValidator(_a_command)]
SecretText = Annotated[Secret, BeforeValidator(_as_secret)]


class Section(BaseModel):
    """A table of the settings file; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class RegistrySettings(Section):
    """Where VMoodle keeps what exists."""

    url: SecretText = Field(
        default=Secret(""),
        description="Empty for SQLite in the home; postgresql://user:password@host/database "
        "when the fleet has several nodes, with libpq's options behind ? as in "
        "?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem.",
    )


class WebSettings(Section):
    """The web server that serves the sites."""

    account: str = Field(
        default="",
        description="System account PHP runs as. Empty: www-data when VMoodle runs as root, "
        "else the account VMoodle runs as.",
    )
    connect: str = Field(
        default="",
        description="host:port of your web server, for the proof of a new site and for `vmoodle "
        "hook check`. Empty: a private PHP server on the code tree for the length of the proof.",
    )
    server: Literal["nginx", "apache"] = Field(
        default="nginx", description="Which web server `map` is for: nginx or apache."
    )
    map: OptionalPath = Field(
        default=None,
        description="File of the web server that says from which web root each host is served; "
        "VMoodle keeps it as `vmoodle web-config` prints it. Empty: none.",
    )
    reload: CommandLine = Field(
        default="",
        description="Command that has the web server read `map` again, as systemctl reload nginx; "
        "no shell runs it. Apache needs none.",
    )
    retry_after: int = Field(
        default=300,
        ge=1,
        le=86400,
        description="Seconds in the Retry-After header of a suspended or deploying site.",
    )
    suspended_page: OptionalPath = Field(
        default=None,
        description="HTML file shown for a suspended site, instead of the built-in page.",
    )
    sslproxy: bool = Field(
        default=False,
        description="True when a proxy ends TLS and speaks http to PHP ($CFG->sslproxy of sites "
        "whose URL is https).",
    )


class PhpSettings(Section):
    """The PHP that runs Moodle's command-line scripts."""

    binary: str = Field(default="", description="Path of the PHP CLI. Empty: php from PATH.")
    script_timeout: int = Field(
        default=3600,
        ge=10,
        description="Seconds Moodle's installer or another script may take; `exec SITE` without "
        "--json has no limit.",
    )


class SiteSettings(Section):
    """What new sites get where nothing else is said."""

    dataroot_base: OptionalPath = Field(
        default=None,
        description="Directory that holds every site's moodledata. Empty: moodledata in the home.",
    )
    database_prefix: str = Field(
        default="vm_",
        pattern=r"^[a-z][a-z0-9_]{0,9}$",
        description="What the names of databases and accounts made by VMoodle begin with.",
    )
    table_prefix: str = Field(
        default="mdl_",
        pattern=r"^[a-z][a-z0-9_]{0,9}$",
        description="Moodle's table prefix (at most 10 characters since Moodle 4.3).",
    )
    language: str = Field(default="en", pattern=r"^[a-z][a-z0-9_]*$", description="Language.")
    admin_user: str = Field(default="admin", description="Name of a site's first administrator.")
    admin_email: str = Field(
        default="",
        description="E-mail of a site's first administrator. Empty: admin@ the site's host "
        "(admin@example.com where the host has no dot).",
    )
    delete_grace_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="Days for which a deleted site is kept and can be revived before "
        "`site purge` destroys it.",
    )


class OperationSettings(Section):
    """Durable operations."""

    concurrency: int = Field(
        default=4, ge=1, le=64, description="Operations one node executes at the same time."
    )
    node: str = Field(
        default="",
        description="Name of this node. Empty: the machine's host name at first use, kept in the "
        "home.",
    )


class FleetSettings(Section):
    """Commands on many sites at once."""

    together: int = Field(
        default=32, ge=1, le=1000, description="Sites on which a command runs at the same time."
    )
    per_server: int = Field(
        default=16, ge=1, le=1000, description="How many of them on one database server."
    )
    timeout: int = Field(
        default=60, ge=1, le=86400, description="Seconds a command may take on one site."
    )
    confirm_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A change on more than this share of the sites is to be confirmed by their "
        "number and a mark.",
    )
    most_rows: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Rows of an answer kept for one site."
    )
    most_bytes: int = Field(
        default=1_000_000,
        ge=1000,
        le=100_000_000,
        description="Bytes of an answer kept for one site.",
    )
    keep_runs_days: int = Field(
        default=365,
        ge=0,
        le=36500,
        description="Days for which a run is kept with its answers and what takes it back; "
        "`run prune`, and a running `vmoodle worker` once a day, delete older ones. 0: for ever.",
    )


class CronSettings(Section):
    """Moodle's cron of all sites."""

    enabled: bool = Field(
        default=False,
        description="True: a running `vmoodle worker` runs the cron of the enabled sites. Remove "
        "what else runs it, as lines in a crontab.",
    )
    strategy: Literal["due", "round_robin", "lowest_gap"] = Field(
        default="due",
        description="Whose turn it is. due: sites with tasks due, first the one that waits for the "
        "largest part of its gap; round_robin: one after the other; lowest_gap: whose last run is "
        "longest ago.",
    )
    together: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Sites whose cron runs at the same time on this node. 0: twice as many as it "
        "has processor cores; never fewer than three.",
    )
    per_server: int = Field(
        default=4, ge=1, le=1000, description="How many of them on one database server, all nodes."
    )
    timeout: int = Field(
        default=1800,
        ge=10,
        le=86400,
        description="Seconds one site's cron may take; then it is ended with all it started.",
    )
    patience: int = Field(
        default=60,
        ge=0,
        le=86400,
        description="Seconds an operation on a site waits for its cron before it has that stopped.",
    )
    active_minutes: int = Field(
        default=60,
        ge=1,
        description="A site is active where somebody was there in the last so many minutes.",
    )
    active_gap: int = Field(
        default=300, ge=120, description="Seconds that tasks due on an active site wait at most."
    )
    quiet_days: int = Field(
        default=14,
        ge=1,
        description="A site is quiet where somebody was there in the last so many days, else "
        "dormant.",
    )
    quiet_every: int = Field(
        default=900, ge=60, description="Seconds between two runs of cron.php on a quiet site."
    )
    quiet_gap: int = Field(
        default=1800, ge=120, description="Seconds that tasks due on a quiet site wait at most."
    )
    dormant_every: int = Field(
        default=3600, ge=60, description="Seconds between two runs of cron.php on a dormant site."
    )
    dormant_gap: int = Field(
        default=7200, ge=360, description="Seconds that tasks due on a dormant site wait at most."
    )
    compiled: bool = Field(
        default=True,
        description="Keep the compiled code of cron on disk (opcache's file cache), in the home: a "
        "run then compiles nothing.",
    )
    log_kilobytes: int = Field(
        default=200,
        ge=10,
        le=100_000,
        description="How much of the output of one run is kept: its beginning and its end.",
    )
    keep_runs: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Runs of a site that went well and are kept, with their logs.",
    )
    keep_days: int = Field(
        default=14, ge=1, le=3650, description="Days for which a run is kept that did not."
    )


class UpgradeSettings(Section):
    """Upgrades of sites."""

    keep_copy_hours: int = Field(
        default=24,
        ge=0,
        le=24 * 365,
        description="Hours for which the safety copy of an upgrade is kept, so that `upgrade back` "
        "can take the site back to it; a running `vmoodle worker` drops it then. 0: not at all.",
    )


class SnapshotSettings(Section):
    """Where snapshots are kept, and for how long."""

    store: str = Field(
        default="",
        description="Directory, s3://bucket/folder?endpoint=https://host or "
        "sftp://host/directory. Empty: the directory store in the home.",
    )
    account: str = Field(default="", description="Account (SFTP) or access key (S3) of the store.")
    password: SecretText = Field(
        default=Secret(""), description="Password (SFTP) or secret key (S3) of the store."
    )
    key: SecretText = Field(
        default=Secret(""),
        description="Key that encrypts the store (32 bytes, URL-safe base64). Without it nobody "
        "can restore: keep a copy elsewhere.",
    )
    retention: str = Field(
        default="last=3,daily=7,weekly=4,monthly=12",
        description="Which snapshots `snapshot prune` keeps.",
    )
    schedule: str = Field(
        default="",
        description="When a running `vmoodle worker` takes snapshots: hourly, daily 02:30, weekly "
        "sun 02:30, or a cron expression as 30 2 * * 1-5; UTC. Empty: never.",
    )
    schedule_sites: str = Field(
        default="*",
        description="Sites of the schedule: shortnames, globs, and labels as key=value that a site "
        "must have, with spaces between them.",
    )


class Settings(Section):
    """Everything an administrator may set."""

    registry: RegistrySettings = RegistrySettings()
    web: WebSettings = WebSettings()
    php: PhpSettings = PhpSettings()
    sites: SiteSettings = SiteSettings()
    operations: OperationSettings = OperationSettings()
    fleet: FleetSettings = FleetSettings()
    cron: CronSettings = CronSettings()
    upgrades: UpgradeSettings = UpgradeSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
