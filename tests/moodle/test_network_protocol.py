"""The protocol of Moodle Network between VMoodle and real Moodles, in both directions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.moodle.running_site import HOST, RunningSite, running_site, site_kinds
from tests.network_peers import ECHO, Book, web_server

from vmoodle.errors import VMoodleError
from vmoodle.moodle.php.binary import PhpBinary, find_php
from vmoodle.moodle.php.seal import seal_support
from vmoodle.network.client import Client
from vmoodle.network.envelope import SealedMessage, SignedMessage, read_message, write_sealed
from vmoodle.network.faults import FaultAnswer, PeerFault
from vmoodle.network.keys import KeyPair, OwnKeys, Subject
from vmoodle.network.protocol import Identity, Peer, sign
from vmoodle.network.server import Grants, Server, Service
from vmoodle.network.transport import HttpTransport, dial_at
from vmoodle.network.wsgi import NetworkApplication
from vmoodle.secret import Secret

pytestmark = pytest.mark.moodle

MOODLE = f"http://{HOST}"
ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "explanation" / "moodle-network.md").read_text()
CONFIGURATION = PAGE.split("```ini\n")[1].split("```")[0]
# On the first tree the one engine, on the second the other: no message depends on it.
KINDS = [one for place, one in enumerate(site_kinds()) if place in (0, 3)]

PREPARE = """
set_config('mnet_dispatcher_mode', 'strict');
set_config('mnet_trusted_hosts', '', 'mnet');
$DB->delete_records('config_plugins', ['plugin' => 'mnet', 'name' => 'openssl']);
$DB->delete_records('config_plugins', ['plugin' => 'mnet', 'name' => 'openssl_history']);
$DB->update_record('mnet_host', ['id' => $CFG->mnet_localhost_id, 'wwwroot' => $CFG->wwwroot,
    'public_key' => '', 'public_key_expires' => 0]);
purge_all_caches();
"""
BIND = """
$peer = ['wwwroot' => $argv[1], 'public_key' => $argv[2], 'public_key_expires' => time() + 86400,
    'deleted' => 0, 'ip_address' => '127.0.0.1', 'name' => 'ours', 'sslverification' => 0,
    'applicationid' => $DB->get_field('mnet_application', 'id', ['name' => 'moodle'])];
$DB->delete_records('mnet_host', ['wwwroot' => $argv[1]]);
$host = $DB->insert_record('mnet_host', $peer);
$service = $DB->get_field('mnet_service', 'id', ['name' => 'echo'])
    ?: $DB->insert_record('mnet_service',
        ['name' => 'echo', 'description' => 'echo', 'apiversion' => '1', 'offer' => 1]);
if (!$DB->record_exists('mnet_remote_rpc', ['xmlrpcpath' => $argv[3]])) {
    $method = $DB->insert_record('mnet_remote_rpc', ['functionname' => 'echo',
        'xmlrpcpath' => $argv[3], 'plugintype' => 'local', 'pluginname' => 'echo', 'enabled' => 1]);
    $DB->insert_record('mnet_remote_service2rpc', ['serviceid' => $service, 'rpcid' => $method]);
}
foreach ($DB->get_records('mnet_service') as $one) {
    $DB->insert_record('mnet_host2service', ['hostid' => $host, 'serviceid' => $one->id,
        'publish' => (int)($one->name !== 'echo'), 'subscribe' => 1]);
}
"""
CALL = """
require_once($CFG->dirroot . '/mnet/xmlrpc/client.php');
$peer = new mnet_peer();
$peer->set_wwwroot($argv[1]);
$client = new mnet_xmlrpc_client();
$client->set_method($argv[2]);
foreach (json_decode($argv[3], true) as $param) {
    $client->add_param($param, is_array($param) ? 'struct' : (is_int($param) ? 'int' : 'string'));
}
try {
    $sent = $client->send($peer);
} catch (moodle_exception $error) {
    $client->error[] = $error->errorcode;
    $sent = false;
}
$key = $DB->get_field('mnet_host', 'public_key', ['wwwroot' => $argv[1]]);
echo json_encode(['sent' => $sent, 'response' => $client->response, 'error' => $client->error,
    'key' => $key]);
"""
BOOTSTRAP = """
require_once($CFG->dirroot . '/mnet/lib.php');
$DB->delete_records('mnet_host', ['wwwroot' => $argv[1]]);
$peer = new mnet_peer();
$bound = $peer->bootstrap($argv[1], null, 'moodle');
echo json_encode([(bool)$bound, $peer->public_key, (int)$peer->public_key_expires, $peer->error]);
"""
LAPSE = """
$DB->set_field('mnet_host', 'public_key_expires', 1, ['id' => $CFG->mnet_localhost_id]);
"""
WRITE = """
require_once($CFG->dirroot . '/mnet/lib.php');
echo json_encode([mnet_sign_message('payload'), mnet_encrypt_message('payload', $argv[1]),
    get_config('mnet', 'openssl')]);
"""


@dataclass
class Ours:
    """VMoodle as a Moodle: its identity, its server, and the Moodle it talks to."""

    site: RunningSite
    server: Server
    book: Book
    heard: list[Any]

    @property
    def wwwroot(self) -> str:
        return self.server.identity.wwwroot

    def run(self, code: str, *args: str) -> str:
        """Run PHP in the Moodle's command line, with the OpenSSL that is set."""
        start = f"define('CLI_SCRIPT', true); require '{self.site.tree.root}/config.php';"
        # Moodle's setup takes the words of the command line for its own.
        return self.site.php.ask(start + code, args=args).decode()

    def bind(self) -> None:
        """Have the Moodle know us by our current certificate."""
        self.run(BIND, self.wwwroot, self.server.identity.keys.current.certificate.pem, ECHO)

    def client(self, address: tuple[str, int]) -> Client:
        return Client(self.server.identity, HttpTransport(dial_at(address), timeout=60.0))

    def meet(self, client: Client) -> Peer:
        """Fetch the Moodle's certificate, and know it by that."""
        known = Peer(MOODLE, client.keyswap(MOODLE))
        self.book.rekeyed(known)
        return known

    def asked_by_moodle(self, method: str, *params: object) -> dict[str, Any]:
        """Have the Moodle's own client call us."""
        answer = self.run(CALL, self.wwwroot, method, json.dumps(params))
        found: dict[str, Any] = json.loads(answer[answer.index('{"sent"') :])
        return found

    def rotate(self) -> None:
        self.server.identity = replace(
            self.server.identity, keys=self.server.identity.keys.rotated(make(self.wwwroot))
        )


def make(wwwroot: str) -> KeyPair:
    subject = Subject(wwwroot, "École", "noreply@example.test")
    return KeyPair.make(subject, now=datetime.now(UTC) - timedelta(minutes=1))


@pytest.fixture(scope="module", params=KINDS)
def ours(request: pytest.FixtureRequest, database_urls: dict[str, str]) -> Iterator[Ours]:
    tree, engine = request.param
    heard: list[Any] = []

    def echo(_peer: Peer, params: tuple[Any, ...]) -> Any:
        heard.append(params)
        if params == ("fail",):
            raise FaultAnswer(5011, "as <asked>")
        return list(params)

    with running_site(tree, database_urls[engine]) as site, web_server() as web:
        book = Book(granted=Grants(frozenset({"echo"}), frozenset()))
        own = Server(
            Identity(web.url, OwnKeys(make(web.url))), book, [Service("echo", {ECHO: echo})]
        )
        web.set_app(NetworkApplication(own, "VMoodle"))
        yield Ours(site, own, book, heard)


@pytest.fixture
def legacy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenSSL with RC4, by the configuration that the documentation shows."""
    # Not in pytest's own directory, which any other run of it closes to the web account.
    with tempfile.TemporaryDirectory(prefix="vmoodle-openssl-") as directory:
        Path(directory).chmod(0o755)
        file = Path(directory) / "openssl.cnf"
        file.write_text(CONFIGURATION)
        monkeypatch.setenv("OPENSSL_CONF", str(file))
        found = seal_support(PhpBinary(find_php(None), None))
        if not found.seals:
            pytest.skip(f"no RC4 in PHP's OpenSSL, legacy provider or not ({found.library})")
        yield


@pytest.fixture
def sealing(legacy: None, ours: Ours) -> Iterator[tuple[Ours, Client, Peer]]:
    """A Moodle that can seal, knows us and is known."""
    with ready(ours) as found:
        yield found


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch, ours: Ours) -> Iterator[tuple[Ours, Client, Peer]]:
    """A Moodle on the default provider of OpenSSL 3, without RC4."""
    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    if seal_support(ours.site.php).seals:
        pytest.skip("PHP's OpenSSL has RC4 by default")
    with ready(ours) as found:
        yield found


@contextmanager
def ready(ours: Ours) -> Iterator[tuple[Ours, Client, Peer]]:
    ours.run(PREPARE)
    ours.bind()
    ours.heard.clear()
    with ours.site.served() as browser:
        client = ours.client(browser.server)
        ours.server.refresh = lambda peer: ours.client(browser.server).refresh(peer)
        yield ours, client, ours.meet(client)


Ready = tuple[Ours, Client, Peer]


# We ask Moodle.


def test_moodle_answers_a_sealed_call(sealing: Ready) -> None:
    ours, client, moodle = sealing
    offers = client.list_services(moodle).value
    assert ("echo", False, True) in [(one.name, one.publishes, one.subscribes) for one in offers]
    methods = client.list_methods(moodle).value
    if ours.site.tree.version.series == "4.5":
        assert "auth/mnet/auth.php/user_authorise" in methods
        assert set(client.list_methods(moodle, "sso_idp").value) < set(methods)
        courses = client.call(moodle, "enrol/mnet/enrol.php/available_courses").value
        assert isinstance(courses, list)


def test_moodles_faults_are_known(sealing: Ready) -> None:
    ours, client, moodle = sealing
    expected = {
        "system/nothing": 7018,
        # What Moodle throws as 7019 comes out of its library as this.
        "system/listFiles": 17,
        "nothing": 713,
        "ab/cd.php/ef": 7012,
    }
    if ours.site.tree.version.series == "4.5":
        expected |= {"auth/mnet/auth.php/user_authorise": 1}
    for method, number in expected.items():
        with pytest.raises(PeerFault) as raised:
            client.call(moodle, method, ["a-token", "an-agent"])
        assert (raised.value.number, raised.value.authenticated) == (number, True)


def test_moodle_tells_its_new_key_and_the_call_is_repeated(sealing: Ready) -> None:
    ours, client, moodle = sealing
    ours.run(LAPSE)
    reply = client.list_services(moodle)
    assert reply.peer != moodle
    assert reply.peer.certificate.wwwroot == MOODLE
    assert client.keyswap(MOODLE) == reply.peer.certificate
    # And again, from a key two generations old.
    ours.run(LAPSE)
    assert client.list_services(reply.peer).peer != reply.peer
    assert client.list_services(moodle).peer == client.refresh(moodle)


def test_moodle_fetches_our_new_key(sealing: Ready) -> None:
    ours, client, moodle = sealing
    ours.rotate()
    renewed = replace(client, identity=ours.server.identity)
    assert renewed.list_services(moodle).value
    assert ours.asked_by_moodle("system/listServices")["key"] == (
        ours.server.identity.keys.current.certificate.pem
    )


def test_both_have_new_keys_and_find_each_other(sealing: Ready) -> None:
    ours, client, moodle = sealing
    ours.rotate()
    ours.run(LAPSE)
    renewed = replace(client, identity=ours.server.identity)
    reply = renewed.list_services(moodle)
    assert reply.value
    assert reply.peer != moodle


def test_moodle_does_not_know_a_stranger_nor_what_he_signs(sealing: Ready) -> None:
    ours, client, moodle = sealing
    stranger = "http://stranger.example.test"
    asking = replace(client, identity=Identity(stranger, OwnKeys(make(stranger))))
    with pytest.raises(PeerFault) as raised:
        asking.list_services(moodle)
    assert raised.value.number == 7020
    thief = replace(client, identity=Identity(ours.wwwroot, OwnKeys(make(ours.wwwroot))))
    with pytest.raises(VMoodleError) as refused:
        thief.list_services(moodle)
    # Sealed to the key of the real one.
    assert refused.value.code == "network.message.key"


def test_a_moodle_that_kept_anothers_row_of_itself_is_noticed(sealing: Ready) -> None:
    ours, client, moodle = sealing
    ours.run(
        "$DB->set_field('mnet_host', 'wwwroot', 'http://original.example.test',"
        " ['id' => $CFG->mnet_localhost_id]);"
    )
    with pytest.raises(VMoodleError) as raised:
        client.list_services(moodle)
    assert raised.value.code == "network.message.sender"
    original = make("http://original.example.test")
    with pytest.raises(VMoodleError) as raised:
        replace(moodle, wwwroot="http://original.example.test", certificate=original.certificate)
        client.call(
            Peer("http://original.example.test", original.certificate), "system/listServices"
        )
    assert raised.value.code.startswith("network.")


def test_a_moodle_that_is_switched_off_is_told_apart(sealing: Ready) -> None:
    ours, client, moodle = sealing
    ours.run("set_config('mnet_dispatcher_mode', 'off');")
    with pytest.raises(VMoodleError) as raised:
        client.list_services(moodle)
    assert raised.value.code == "network.status"


# Moodle asks us.


def test_moodles_client_calls_us(sealing: Ready) -> None:
    ours, _client, _moodle = sealing
    services = ours.asked_by_moodle("system/listServices")
    assert (services["sent"], services["error"]) == (True, [])
    assert services["response"] == [
        {"name": "echo", "apiversion": "1", "publish": "1", "subscribe": "0"}
    ]
    answer = ours.asked_by_moodle(ECHO, "é <&>", 7, {"a": {"b": "c"}})
    assert answer["error"] == []
    assert answer["response"] == ["é <&>", 7, {"a": {"b": "c"}}]
    assert ours.heard == [("é <&>", 7, {"a": {"b": "c"}})]


def test_moodles_client_is_told_our_faults(sealing: Ready) -> None:
    ours, _client, _moodle = sealing
    assert "5011 : as <asked>" in ours.asked_by_moodle(ECHO, "fail")["error"][0]
    ours.book.granted = Grants()
    try:
        assert "707" in ours.asked_by_moodle(ECHO, "x")["error"][0]
    finally:
        ours.book.granted = Grants(frozenset({"echo"}), frozenset())


def test_moodles_client_learns_our_new_key(sealing: Ready) -> None:
    ours, _client, _moodle = sealing
    ours.rotate()
    answer = ours.asked_by_moodle(ECHO, "after")
    assert (answer["sent"], answer["response"], answer["error"]) == (True, ["after"], [])
    assert answer["key"] == ours.server.identity.keys.current.certificate.pem


def test_we_learn_moodles_new_key_when_it_calls(sealing: Ready) -> None:
    ours, client, moodle = sealing
    ours.run(LAPSE)
    answer = ours.asked_by_moodle(ECHO, "with a new key")
    assert (answer["sent"], answer["response"], answer["error"]) == (True, ["with a new key"], [])
    assert ours.book.find(MOODLE) not in (None, moodle)
    assert ours.book.find(MOODLE).certificate == client.keyswap(MOODLE)  # type: ignore[union-attr]


def test_moodle_binds_us_by_its_own_code(sealing: Ready) -> None:
    ours, _client, _moodle = sealing
    answer = ours.run(BOOTSTRAP, ours.wwwroot)
    bound, key, expires, errors = json.loads(answer[answer.index("[") :])
    current = ours.server.identity.keys.current.certificate
    assert (bound, errors) == (True, [])
    assert (key, expires) == (current.pem, int(current.ends.timestamp()))


def test_what_we_write_is_what_moodle_writes_to_the_byte(sealing: Ready) -> None:
    ours, _client, _moodle = sealing
    own = ours.server.identity.keys.current
    text = ours.run(WRITE, own.certificate.pem)
    signed, sealed, stored = json.loads(text[text.index("[") :])
    message = read_message(signed.encode())
    assert isinstance(message, SignedMessage)
    moment = datetime.fromtimestamp(message.timestamp, UTC)
    # With Moodle's key and clock: there is no chance in these signatures.
    pair = KeyPair.from_stored(Secret(stored))
    assert sign(b"payload", MOODLE, pair, moment) == signed.encode()
    envelope = read_message(sealed.encode())
    assert isinstance(envelope, SealedMessage)
    assert write_sealed(envelope.sealed, MOODLE) == sealed.encode()


# Without RC4.


def test_without_rc4_moodle_neither_opens_nor_asks(signing: Ready) -> None:
    ours, client, moodle = signing
    with pytest.raises(PeerFault) as raised:
        client.list_services(moodle)
    assert (raised.value.number, raised.value.code) == (7023, "network.fault.unopened")
    answer = ours.asked_by_moodle("system/listServices")
    assert (answer["sent"], answer["error"]) == (False, ["opensslsealerror"])


def test_without_rc4_signed_calls_are_answered_to_trusted_addresses(signing: Ready) -> None:
    ours, client, moodle = signing
    signed = replace(moodle, sealed=False)
    with pytest.raises(PeerFault) as raised:
        client.list_services(signed)
    assert raised.value.number == 7021
    ours.run("set_config('mnet_trusted_hosts', '127.0.0.1/32', 'mnet');")
    assert client.list_services(signed).value
    if ours.site.tree.version.series == "4.5":
        courses = client.call(signed, "enrol/mnet/enrol.php/available_courses").value
        assert isinstance(courses, list)
    # A new key is not told where nothing is sealed.
    ours.run(LAPSE)
    with pytest.raises(VMoodleError) as refused:
        client.list_services(signed)
    assert refused.value.code == "network.message.signature"
    assert client.list_services(replace(signed, certificate=client.keyswap(MOODLE))).value
