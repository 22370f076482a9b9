#!/usr/bin/env python3
"""Follows the change feed of a Latchkey login and prints each change as a line of JSON.

Python 3.9 or later and nothing else. The README beside this file says how to run it.
"""
import base64
import json
import os
import random
import signal
import sys
import time
from datetime import datetime, timezone
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote, quote_plus, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

RISC = "https://schemas.openid.net/secevent/risc/event-type/"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
OURS = "urn:latchkey:event-type:"
KNOWN_TYPES = {
    OURS + "account-created",
    RISC + "account-disabled",
    RISC + "account-enabled",
    RISC + "account-purged",
    CAEP + "token-claims-change",
    CAEP + "credential-change",
    CAEP + "session-revoked",
    OURS + "token-revoked",
    OURS + "signing-key-revoked",
}
MAX_BYTES = 8 * 1024 * 1024


class Resync(Exception):
    """The history that the cursor belongs to is over: only a snapshot tells what is true now."""


class NoRedirect(HTTPRedirectHandler):
    """urllib would carry the token to wherever a redirect points."""

    def redirect_request(self, *_args):
        return None


class Login:
    """The three requests that a follower makes, with a token that is fetched when it is needed."""

    def __init__(self, url, client_id, secret, follower, wait):
        self.url, self.follower, self.wait = url.rstrip("/"), follower, wait
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
        self.basic = "Basic " + base64.b64encode(pair.encode()).decode()
        self.token, self.token_until = "", 0.0
        self.opener = build_opener(NoRedirect)

    def send(self, path, headers, body=None, timeout=10.0):
        request = Request(self.url + path, data=body, headers=headers)
        with self.opener.open(request, timeout=timeout) as response:
            text = response.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError("an answer that is too large")
        return json.loads(text)

    def sign_in(self):
        form = urlencode({"grant_type": "client_credentials", "scope": "changes:read"}).encode()
        answer = self.send("/oauth/token", {"Authorization": self.basic}, form)
        self.token = answer["access_token"]
        self.token_until = time.monotonic() + max(0, answer["expires_in"] - 30)

    def get(self, path, timeout=10.0):
        for is_last in (False, True):
            if time.monotonic() >= self.token_until:
                self.sign_in()
            try:
                return self.send(path, {"Authorization": "Bearer " + self.token}, timeout=timeout)
            except HTTPError as error:
                if error.code == 410:
                    raise Resync from error
                # The token may have ended before its time: once another one is worth trying.
                self.token_until = 0.0 if error.code == 401 else self.token_until
                if error.code != 401 or is_last:
                    raise

    def changes(self, cursor):
        query = urlencode({"after": cursor, "wait": self.wait, "limit": 500, "follower": self.follower})
        return self.get("/changes?" + query, timeout=self.wait + 5.0)

    def snapshot(self, page):
        return self.get("/changes/snapshot" + ("" if page is None else "?" + urlencode({"page": page})))

    def subject(self, subject_id):
        return self.get("/changes/subjects/" + quote(subject_id, safe=""))


class Reader:
    """What is known so far, in a file that is always whole: `subjects`, what `ended`, and where to go on."""

    def __init__(self, login, path, write_line):
        self.login, self.path, self.write_line = login, path, write_line
        self.state = {"generation": None, "cursor": None, "subjects": {}, "ended": {}}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.state = json.load(file)

    def save(self):
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        # Times of login are UTC in one form, so that they sort as text.
        self.state["ended"] = {id: until for id, until in self.state["ended"].items() if until > now}
        draft = self.path + ".new"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self.state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path)

    def put_subject(self, subject_id, sequence, found, why):
        """Takes a state over unless a later one is known: whatever comes twice or late changes nothing."""
        subjects = self.state["subjects"]
        known = subjects.get(subject_id)
        if known is not None and known["sequence"] >= sequence:
            return
        told = {name: found[name] for name in ("status", "roles", "scopes")}
        subjects[subject_id] = {"sequence": sequence, **told}
        if known is None or any(known[name] != told[name] for name in told):
            self.write_line({"sequence": sequence, "type": why, "subject": subject_id, **told})

    def put_ended(self, kind, ended_id, until, sequence, why):
        if ended_id is None or ended_id in self.state["ended"]:
            return
        self.state["ended"][ended_id] = until or "9999-12-31T00:00:00Z"
        self.write_line({"sequence": sequence, "type": why, kind: ended_id, "expiresAt": until})

    def resync(self):
        """Reads everything, and only then believes it. What ended stays ended."""
        pages, page = [], None
        while True:
            answer = self.login.snapshot(page)
            pages.append(answer)
            page = answer["nextPage"]
            if page is None:
                break
        for known in self.state["subjects"].values():
            known["sequence"] = -1  # Numbers of an older history mean nothing here.
        missing = set(self.state["subjects"])
        for answer in pages:
            for item in answer["items"]:
                if item["kind"] == "subject":
                    missing.discard(item["id"])
                    self.put_subject(item["id"], answer["sequence"], item["state"], "snapshot")
                elif item["kind"] in ("session", "token"):
                    self.put_ended(item["kind"], item["id"], item["expiresAt"], answer["sequence"], "snapshot")
        for subject_id in missing:
            gone = {"status": "deleted", "roles": [], "scopes": []}
            self.put_subject(subject_id, pages[0]["sequence"], gone, "snapshot")
        self.state.update(generation=pages[0]["generation"], cursor=pages[0]["cursor"])
        self.save()

    def apply(self, item):
        sequence, why, subject_id = item["sequence"], item["type"], item["subjectId"]
        if item["state"] is not None:
            self.put_subject(subject_id, sequence, item["state"], why)
        self.put_ended("session", item["sessionId"], item["expiresAt"], sequence, why)
        self.put_ended("token", item["tokenId"], item["expiresAt"], sequence, why)
        if why == OURS + "signing-key-revoked":
            self.write_line({"sequence": sequence, "type": why, "signingKey": subject_id})
        if why not in KNOWN_TYPES:  # Of a later release: never ignored, the subject is asked for instead.
            answer = self.login.subject(subject_id)
            if answer["generation"] != self.state["generation"]:
                raise Resync
            self.put_subject(subject_id, answer["sequence"], answer["state"], why)

    def step(self):
        """One answer of the feed. The cursor is saved together with what it stands for, never before."""
        if self.state["cursor"] is None:
            self.resync()
        page = self.login.changes(self.state["cursor"])
        if page["generation"] != self.state["generation"]:
            raise Resync
        for item in page["items"]:
            self.apply(item)
        if page["items"] or page["nextCursor"] != self.state["cursor"]:
            self.state["cursor"] = page["nextCursor"]
            self.save()


def run(reader):
    failures = 0
    while True:
        try:
            reader.step()
            if failures > 0:
                print("login is back", file=sys.stderr, flush=True)
            failures = 0
            continue
        except Resync:
            print("reading everything anew", file=sys.stderr, flush=True)
            reader.state["cursor"] = None
        except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError) as error:
            # An HTTPError is an OSError. Nothing of an answer is printed, for it may hold anything.
            if failures == 0:
                what = f"HTTP {error.code}" if isinstance(error, HTTPError) else type(error).__name__
                print(f"login can not be read ({what}), trying again", file=sys.stderr, flush=True)
        # Full jitter: many readers that lost login together do not come back together.
        time.sleep(random.uniform(0, min(5.0, 0.1 * 2 ** min(failures, 10))))
        failures += 1


def setting(name, default=None):
    path = os.environ.get(name + "_FILE")
    if path:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    value = os.environ.get(name) or default
    if value is None:
        sys.exit(f"{name} is not set")
    return value


def main():
    signal.signal(signal.SIGTERM, lambda *_args: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_args: sys.exit(0))
    url = setting("LOGIN_URL", "http://127.0.0.1:3000")
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        sys.exit("LOGIN_URL must be https, except on this machine: everyone on the way could read the secret")
    login = Login(
        url,
        setting("CLIENT_ID"),
        setting("CLIENT_SECRET"),
        setting("FOLLOWER", "feed-reader"),
        int(setting("WAIT_SECONDS", "10")),
    )
    run(Reader(login, setting("STATE_FILE", "feed-state.json"), lambda line: print(json.dumps(line), flush=True)))


if __name__ == "__main__":
    main()
