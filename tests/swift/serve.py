"""Run by `.swift/bin/python serve.py <folder>`: proxy, account, container and object server on loopback.

Objects are kept in memory, the rest under the folder. Prints the port of the S3 interface once it listens, and ends when
its standard input is closed, so with whoever started it.
"""

import eventlet

eventlet.monkey_patch()

import sys  # noqa: E402  after the patch
from array import array  # noqa: E402
from pathlib import Path  # noqa: E402

import eventlet.tpool  # noqa: E402
import eventlet.wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingData  # noqa: E402
from swift.common.utils import config  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

FOLDER = Path(sys.argv[1])
BACKENDS = {"account": "account", "container": "container", "object": "mem_object"}
PIPELINE = "catch_errors gatekeeper listing_formats s3api tempauth bulk slo dlo"


def write_configuration(ports: dict[str, int]) -> None:
    """One device, one replica; one user, `test:tester` with the key `testing`."""
    (FOLDER / "devices" / "d1").mkdir(parents=True)
    (FOLDER / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n"
        "[storage-policy:0]\nname = only\ndefault = yes\n"
    )
    common = f"[DEFAULT]\nswift_dir = {FOLDER}\ndevices = {FOLDER}/devices\nmount_check = false\nlog_level = CRITICAL\n"
    for name, factory in BACKENDS.items():
        device = {
            "id": 0,
            "zone": 0,
            "region": 1,
            "ip": "127.0.0.1",
            "port": ports[name],
            "device": "d1",
            "weight": 1.0,
        }
        device |= {"replication_ip": "127.0.0.1", "replication_port": ports[name], "meta": ""}
        RingData([array("H", [0, 0, 0, 0])], [device], 30).save(str(FOLDER / f"{name}.ring.gz"))
        (FOLDER / f"{name}.conf").write_text(
            f"{common}[pipeline:main]\npipeline = app\n[app:app]\nuse = egg:swift#{factory}\nfallocate_reserve = 0\n"
        )
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in PIPELINE.split())
    filters = filters.replace("#s3api\n", "#s3api\ns3_acl = false\nallow_no_owner = true\nlocation = us-east-1\n")
    filters = filters.replace("#tempauth\n", "#tempauth\nuser_test_tester = testing .admin\n")
    (FOLDER / "proxy.conf").write_text(
        f"{common}[pipeline:main]\npipeline = {PIPELINE} proxy-server\n[app:proxy-server]\nuse = egg:swift#proxy\n"
        f"allow_account_management = true\naccount_autocreate = true\n{filters}"
    )
    for module in (utils, config):
        module.SWIFT_CONF_FILE = str(FOLDER / "swift.conf")


class Nowhere:
    """Where access logs go."""

    def write(self, text: str) -> None:
        """Forget it."""


def main() -> None:
    """Serve until standard input ends."""
    sockets = {name: eventlet.listen(("127.0.0.1", 0)) for name in (*BACKENDS, "proxy")}
    write_configuration({name: socket.getsockname()[1] for name, socket in sockets.items()})
    for name, socket in sockets.items():
        application = loadapp(str(FOLDER / f"{name}.conf"), global_conf={})
        eventlet.spawn(eventlet.wsgi.server, socket, application, log=Nowhere(), log_output=False, debug=False)
    print(sockets["proxy"].getsockname()[1], flush=True)
    eventlet.tpool.execute(sys.stdin.read)


if __name__ == "__main__":
    main()
