"""Stands before a server of Milvus' protocol, over TLS, and lets nobody through without a token; `.ci/milvus` starts it.

    python .ci/guard.py UPSTREAM TOKEN FOLDER

makes a certificate for localhost, FOLDER/ca.pem, listens on a free port, and writes it to FOLDER/port.
"""

import base64
import datetime
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate():
    """A key and a certificate of localhost, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    key = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return key, made.public_bytes(serialization.Encoding.PEM)


class Guard(grpc.GenericRpcHandler):
    def __init__(self, upstream, token):
        self.upstream = grpc.insecure_channel(upstream)
        self.expected = base64.b64encode(token.encode()).decode()

    def service(self, call):
        shown = dict(call.invocation_metadata).get("authorization")

        def answer(request, context):
            if shown != self.expected:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
            try:
                return self.upstream.unary_unary(call.method)(request)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(answer)


def main(upstream, token, folder):
    key, pem = certificate()
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Guard(upstream, token)])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, pem)]))
    server.start()
    (folder / "ca.pem").write_bytes(pem)
    (folder / "port").write_text(str(port))
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
