"""All checks in order, and the run over them."""

from __future__ import annotations

from vmoodle.doctor import checks_copies, checks_cron, checks_fleet, checks_ledger, checks_machine
from vmoodle.doctor.finding import Check, Finding
from vmoodle.errors import VMoodleError
from vmoodle.installation import Installation
from vmoodle.progress import Tell, tell_nobody

CHECKS = (
    Check("V001", "home and private files", checks_machine.home_is_ours),
    Check("V002", "reach of the web account", checks_machine.web_account_reaches),
    Check("V003", "PHP", checks_machine.php_runs),
    Check("V010", "database servers", checks_fleet.servers_answer),
    Check("V020", "codebases", checks_fleet.codebases_are_ours),
    Check("V021", "installed hook", checks_fleet.hook_is_current),
    Check("V030", "map against registry", checks_fleet.map_agrees),
    Check("V031", "web server's map", checks_fleet.web_server_follows),
    Check("V040", "dataroots", checks_fleet.dataroots_exist),
    Check("V050", "ledger against reality", checks_ledger.ledger_is_real),
    Check("V051", "reality against ledger", checks_ledger.nothing_unknown),
    Check("V052", "shared cache stores", checks_fleet.caches_are_apart),
    Check("V060", "operations", checks_fleet.operations_have_ended),
    Check("V061", "sites half-way", checks_fleet.sites_need_nobody),
    Check("V070", "templates", checks_copies.templates_are_whole),
    Check("V071", "warm copies", checks_copies.warm_copies_are_usable),
    Check("V072", "snapshots against store", checks_copies.snapshots_agree),
    Check("V073", "identities of sites", checks_copies.identifiers_differ),
    Check("V080", "cron within its promise", checks_cron.nobody_waits_too_long),
)


def examine(installation: Installation, tell: Tell = tell_nobody) -> list[Finding]:
    """Run every check; a check that cannot be run is itself a finding."""
    findings = []
    for check in CHECKS:
        tell(f"{check.number} {check.title}")
        try:
            findings += [Finding(check.number, *found) for found in check.examine(installation)]
        except VMoodleError as error:
            findings.append(Finding(check.number, error.message, error.hint))
        except OSError as error:
            where = error.filename or "the disk"
            findings.append(
                Finding(
                    check.number,
                    f"Not all could be looked at: {where}: {error.strerror}.",
                    "Run the doctor as the account of VMoodle's home, or let that account read it.",
                )
            )
    return findings
