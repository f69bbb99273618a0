# SPDX-License-Identifier: BSD-2-Clause
"""What testssl.sh finds in the default profile: nothing above LOW."""
import json
import os
import shutil
import subprocess

import pytest

from lib import conf, tls

# What only concerns the chain of trust that the test has made for itself, by
# the beginning of the id.
OWN_CHAIN = {
    "cert_revocation": "our authority has no place for revocation lists",
    "cert_trust": "its root is known to this test alone",
    "cert_chain_of_trust": "the same",
    "cert_caIssuers": "it is nowhere to be fetched from",
    "DNS_CAArecord": "localhost has no such record",
    # About testssl.sh and the openssl that it was given.
    "engine_problem": "there is no engine for GOST",
}
HARMLESS = {"OK", "INFO", "LOW", "DEBUG"}
FIELDS = {"Strict-Transport-Security": "max-age=31536000",
          "X-Content-Type-Options": "nosniff",
          "X-Frame-Options": "DENY",
          "Content-Security-Policy": "default-src 'self'"}


@pytest.mark.long
def test_default_profile(start, tmp_path):
    """A certificate of each kind, HTTP/2, and nothing set but them."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if program is None:
        pytest.skip("testssl.sh is not installed")
    certs = tls.Certs()
    try:
        root = certs.ca("ca")
        pairs = [certs.signed(name, root, "localhost", kind=kind, days=200)
                 for name, kind in (("ec", tls.EC), ("rsa", tls.RSA))]
        weir = start(conf.config(conf.service(
            {"path": "/", "respond": {"status": 200, "body": "hello",
                                      "headers": FIELDS}},
            listen=[{"address": conf.address(), "http2": True,
                     "tls": {"certificates": [
                         {"cert": c, "key": k} for c, k in pairs]}}])))
        out = tmp_path / "findings.json"
        done = subprocess.run(
            [program, "--quiet", "--color", "0", "--warnings", "off",
             "--add-ca", root[0], "--jsonfile", str(out), "--ip",
             "127.0.0.1", "https://localhost:%d" % weir.address[1]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=1500,
            env={**os.environ, "HOME": str(tmp_path)})
        found = json.loads(out.read_text())
        ids = {row["id"] for row in found}
        assert {"TLS1_2", "TLS1_3", "heartbleed", "ROBOT",
                "BEAST"} <= ids, done.stdout.decode()[-3000:]
        bad = [row for row in found if row["severity"] not in HARMLESS
               and row["id"].split(" ")[0] not in OWN_CHAIN]
        assert not bad, bad
    finally:
        certs.remove()
