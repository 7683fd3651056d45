"""A real SMTP server (aiosmtpd) that writes down what it took responsibility for.

Prints its port, then serves until its input ends. Each accepted mail is a line of the journal, on disk before the
answer, and, when a folder is named, a file in that maildir: as providers file what is handed in to them.
"""

import argparse, asyncio, json, os, ssl, sys
from email import message_from_bytes, policy
from aiosmtpd.smtp import SMTP, AuthResult


class Taker:
    def __init__(self, options):
        self.options, self.count = options, 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = message_from_bytes(envelope.content, policy=policy.default)
        if "refuse this" in str(message["Subject"]):
            return "554 5.7.1 refused after the final dot"
        self.count += 1
        if self.options.maildir:
            name = f"{os.getpid()}.{self.count}.test"
            path = os.path.join(self.options.maildir, "tmp", name)
            with open(path, "wb") as file:
                file.write(envelope.content)
            os.chmod(path, 0o666)
            os.rename(path, os.path.join(self.options.maildir, "new", name))
        line = {
            "id": str(message["Message-ID"]),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(message["Subject"]),
            "headers": [name for name, _ in message.items()],
            "auto": str(message["Auto-Submitted"]),
            "author": str(message["X-Bailiwick-Author"]),
            "text": message.get_body(("plain",)).get_content().replace("\r\n", "\n"),
            "files": [[part.get_filename(), len(part.get_content())] for part in message.iter_attachments()],
        }
        with open(self.options.journal, "a") as journal:
            journal.write(json.dumps(line) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        return "250 2.0.0 taken"


def sign_in(server, session, envelope, mechanism, data):
    fine = data.login == b"anna" and data.password == b"pass-word"
    return AuthResult(success=fine, handled=fine)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("journal", "maildir", "cert", "key", "mode"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    taker, loop = Taker(options), asyncio.get_running_loop()
    tls = None
    if options.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert, options.key)
    starttls = options.mode == "starttls"
    make = lambda: SMTP(
        taker,
        hostname="localhost",
        data_size_limit=20_000_000,
        tls_context=tls if starttls else None,
        require_starttls=starttls,
        authenticator=sign_in,
        auth_required=options.mode != "open",
        auth_require_tls=starttls,
    )
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls if options.mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


asyncio.run(main())
