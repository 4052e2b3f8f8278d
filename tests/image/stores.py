"""What a gateway finds on the network, on loopback: an S3 server with an empty bucket, and a DNS server that knows its name."""

import contextlib, http.server, socket, ssl, struct, threading

BY_DNS = "store.example.test"
BY_HOSTS = "store-in-hosts.example.test"
NAME_SERVER = "127.53.53.53"
EMPTY = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>landing</Name><Prefix></Prefix><KeyCount>0</KeyCount>
<MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>"""


@contextlib.contextmanager
def s3(certificate=None, private_key=None):
    """The port of a bucket that answers every request with an empty listing, over TLS if there is a certificate."""

    class Bucket(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(EMPTY)))
            self.end_headers()
            self.wfile.write(EMPTY)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that does not trust the certificate hangs up, which is its right."""

    server = Server(("127.0.0.1", 0), Bucket)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key)
        # The handshake belongs to the thread of its connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server.serve_forever, server.shutdown):
        yield server.server_port
    server.server_close()


@contextlib.contextmanager
def name_server():
    """Answers queries for BY_DNS with 127.0.0.1, and that all other names do not exist."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((NAME_SERVER, 53))

    def serve():
        while True:
            query, client = server.recvfrom(512)
            if not query:
                return
            end = query.index(b"\0", 12) + 5
            question, kind = query[12:end], struct.unpack(">H", query[end - 4 : end - 2])[0]
            known = question[:-4] == b"".join(bytes([len(part)]) + part.encode() for part in [*BY_DNS.split("."), ""])
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1]) if known and kind == 1 else b""
            flags = 0x8400 if known else 0x8403
            server.sendto(query[:2] + struct.pack(">HHHHH", flags, 1, bool(answer), 0, 0) + question + answer, client)

    with serving(serve, lambda: server.sendto(b"", server.getsockname())):
        yield NAME_SERVER
    server.close()


@contextlib.contextmanager
def serving(serve, stop):
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()
