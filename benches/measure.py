#!/usr/bin/env python3
"""Measures Trueup against its peers on this machine and writes docs/performance.md.

    cargo build --release && cargo bench --bench plan && python3 benches/measure.py

Needs git, a Docker Engine with busybox-static at /bin/busybox, and docker-compose. Everything runs on loopback, in
temporary directories and under one project name, and is removed afterwards. Figures are ratios to a peer that ran in
the same minute on the same machine; a target that is missed is reported as missed.
"""

import atexit
import concurrent.futures
import http.client
import http.server
import json
import os
import pathlib
import resource
import shutil
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRUEUP = ROOT / "target/release/trueup"
PROJECTS = int(os.environ.get("TRUEUP_BENCH_PROJECTS", "1000"))
NAME = f"bench{os.getpid()}"
CLOCK = os.sysconf("SC_CLK_TCK")
ROWS = []
# The section of the page that `benches/webhooks.py` writes.
WEBHOOKS = "## Webhooks"


def row(what, target, measured, met, peer):
    ROWS.append((what, target, measured, "met" if met else "**missed**", peer))
    print(f"{what}: {measured} (target {target}: {'met' if met else 'MISSED'})", flush=True)


def run(*argv, **options):
    options.setdefault("check", True)
    options.setdefault("capture_output", True)
    options.setdefault("text", True)
    return subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, **options)


def timed(*argv, runs=7, ok=(0,)):
    """The median wall time of a command, in seconds, after one warm-up."""
    walls = []
    for number in range(runs + 1):
        begun = time.perf_counter()
        ended = run(*argv, check=False)
        if ended.returncode not in ok:
            raise SystemExit(f"{argv}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}")
        if number:
            walls.append(time.perf_counter() - begun)
    return statistics.median(walls)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def api(path, method, url, body=None):
    connection = UnixConnection(path)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, url, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"{method} {url}: {answer.status} {data[:300]!r}")
    return json.loads(data) if "json" in (answer.headers.get("Content-Type") or "") else None


class Daemon:
    """A daemon over temporary state, with what it costs."""

    def __init__(self, directory, **settings):
        self.state = pathlib.Path(directory) / "state"
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file = pathlib.Path(directory) / "trueup.toml"
        lines = [f'state_dir = "{self.state}"'] + [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        self.file.write_text("\n".join(lines) + "\n[log]\nlevel = \"error\"\n")
        self.socket = self.state / "run/trueup.sock"
        begun = time.perf_counter()
        self.process = subprocess.Popen([str(TRUEUP), "serve", "--config", str(self.file)], stdin=subprocess.DEVNULL)
        atexit.register(self.process.kill)
        while True:
            try:
                api(self.socket, "GET", "/healthz")
                break
            except (OSError, http.client.HTTPException):
                if self.process.poll() is not None:
                    raise SystemExit("the daemon ended early")
                time.sleep(0.001)
        self.ready = time.perf_counter() - begun

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK

    def rss(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise SystemExit("no VmRSS")

    def stop(self):
        self.process.terminate()
        self.process.wait(90)

    def cli(self, *argv):
        return (TRUEUP, "--socket", self.socket, *argv)


class GitHttp(http.server.BaseHTTPRequestHandler):
    """`git http-backend` over loopback, and a count of what was asked."""

    protocol_version = "HTTP/1.1"
    root = None
    asked = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def serve(self):
        GitHttp.asked += 1
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": url.path, "QUERY_STRING": url.query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(length),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        ended = subprocess.run(["git", "http-backend"], input=self.rfile.read(length), env=environment, capture_output=True)
        head, _, body = ended.stdout.partition(b"\r\n\r\n")
        status = 200
        headers = []
        for line in head.decode().splitlines():
            key, _, value = line.partition(": ")
            if key == "Status":
                status = int(value.split()[0])
            else:
                headers.append((key, value))
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Threaded(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


class ThreadedUnix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 256


IMAGE = "sha256:" + "1" * 64


def container(project, service):
    identity = f"{project}-production-{service}-1"
    labels = {
        "dev.trueup.project": project, "dev.trueup.environment": "production", "dev.trueup.service": service,
        "dev.trueup.release": "1", "dev.trueup.replica": "1",
    }
    return {
        "Id": (identity.encode().hex() + "0" * 64)[:64], "Name": "/" + identity, "Image": IMAGE,
        "Created": "2026-01-01T00:00:00Z", "RestartCount": 0, "Platform": "linux",
        "State": {"Status": "running", "Running": True, "Paused": False, "Restarting": False, "ExitCode": 0,
                  "StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Image": "acme/web:1", "Env": ["LOG_LEVEL=info"], "Cmd": ["serve"], "Entrypoint": None,
                   "Labels": labels, "User": "", "WorkingDir": ""},
        "HostConfig": {"Memory": 268435456, "NanoCpus": 0, "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
                       "PortBindings": {}, "NetworkMode": f"{project}-production"},
        "Mounts": [], "NetworkSettings": {"Networks": {}},
    }


class Engine(http.server.BaseHTTPRequestHandler):
    """As much of a Docker Engine (API 1.41) as observing asks for; anything else is an error and ends the measurement."""

    protocol_version = "HTTP/1.1"
    containers = {}
    refused = []

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def answer(self, value, status=200):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.answer(b"")

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = "/" + "/".join(part for part in url.path.split("/")[1:] if not part.startswith("v1."))
        query = urllib.parse.parse_qs(url.query)
        if path == "/_ping":
            return self.answer(b"OK")
        if path == "/version":
            return self.answer({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"})
        if path == "/containers/json":
            wanted = json.loads(query.get("filters", ["{}"])[0]).get("label", [])
            found = [one for one in Engine.containers.values()
                     if all(one["Config"]["Labels"].get(label.partition("=")[0]) == label.partition("=")[2]
                            if "=" in label else label in one["Config"]["Labels"] for label in wanted)]
            return self.answer([{"Id": one["Id"], "Names": [one["Name"]], "Image": "acme/web:1", "ImageID": IMAGE,
                                 "Labels": one["Config"]["Labels"], "State": "running", "Status": "Up"} for one in found])
        if path.startswith("/containers/") and path.endswith("/json"):
            one = Engine.containers.get(path.split("/")[2])
            return self.answer(one) if one else self.answer({"message": "No such container"}, 404)
        if path.startswith("/images/") and path.endswith("/json"):
            return self.answer({"Id": IMAGE, "RepoTags": ["acme/web:1"], "RepoDigests": [], "Created": "2026-01-01T00:00:00Z",
                                "Config": {"Env": [], "Cmd": None, "Labels": {}}, "Architecture": "amd64", "Os": "linux"})
        if path == "/events":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            try:
                self.connection.recv(1)
            except OSError:
                return
            return
        Engine.refused.append(self.path)
        self.answer({"message": f"not expected: {self.path}"}, 501)


FILE = """version: 1
environments:
  production:
    services:
      web: &service
        image: acme/web:1
        pull: never
        command: [serve]
        env: {LOG_LEVEL: info}
        resources: {memory_limit: 256Mi}
      worker: *service
"""


def many_projects(directory):
    """A thousand projects on a loopback smart-HTTP server, with a fake engine."""
    repositories = directory / "repositories"
    template = directory / "template"
    git = ("git", "-c", "user.name=Bench", "-c", "user.email=bench@example.org")
    run("git", "init", "--quiet", "--initial-branch=main", template)
    (template / ".trueup.yml").write_text(FILE)
    run(*git, "-C", template, "add", ".")
    run(*git, "-C", template, "commit", "--quiet", "--message", "declare")
    run("git", "clone", "--quiet", "--bare", template, repositories / "p0.git")
    for number in range(1, PROJECTS):
        shutil.copytree(repositories / "p0.git", repositories / f"p{number}.git")
    GitHttp.root = repositories
    server = Threaded(("127.0.0.1", 0), GitHttp)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    for number in range(PROJECTS):
        for service in ("web", "worker"):
            one = container(f"p{number}", service)
            Engine.containers[one["Id"]] = one
    engine_socket = directory / "engine.sock"
    engine = ThreadedUnix(str(engine_socket), Engine)
    threading.Thread(target=engine.serve_forever, daemon=True).start()

    peers = min(PROJECTS, 100)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(peers):
        subprocess.run(["git", "ls-remote", f"http://127.0.0.1:{port}/p{number}.git", "refs/heads/main"],
                       stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The server's own children are counted in the same figure; what they cost is measured alone and taken away.
    both = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / peers
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(peers):
        advertise(port, number)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    backend = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / peers
    ls_remote = (both - backend) * PROJECTS

    daemon = Daemon(directory / "poll", poll_interval="60s", observe_interval="24h")
    try:
        register(daemon, port, engine_socket)
        wait_for_reads(daemon)
        settle(daemon)
        asked, cpu, begun = GitHttp.asked, daemon.cpu(), time.monotonic()
        while GitHttp.asked - asked < PROJECTS and time.monotonic() - begun < 180:
            time.sleep(0.05)
        polled, spent, rss = GitHttp.asked - asked, daemon.cpu() - cpu, daemon.rss()
        ratio = spent / (ls_remote * polled / PROJECTS)
        row(f"one poll round over {PROJECTS} repositories, nothing moved: CPU of the daemon", "at most 1/10 of the peer's",
            f"1/{1 / ratio:.0f} ({polled} polls)" if ratio else f"below 1 tick ({polled} polls)", ratio <= 0.1,
            f"`git ls-remote URL refs/heads/main`, {peers} times, its own CPU")
        row(f"… resident memory with {PROJECTS} projects, polled", "under 60 MiB", f"{rss:.0f} MiB", rss < 60, "")
    finally:
        daemon.stop()
    daemon = Daemon(directory / "poll", poll_interval="24h", observe_interval="60s")
    try:
        ready = daemon.ready
        time.sleep(60)
        cpu, begun = daemon.cpu(), time.monotonic()
        time.sleep(60)
        share = (daemon.cpu() - cpu) / (time.monotonic() - begun)
        rss = daemon.rss()
        row(f"idle, {PROJECTS} projects observed every 60 s: resident memory", "under 40 MiB", f"{rss:.0f} MiB", rss < 40, "")
        row("… CPU", "under 1 % of a core", f"{share * 100:.2f} %", share < 0.01, "")
        row("… ready after start", "under 150 ms", f"{ready * 1000:.0f} ms", ready < 0.15, "")
    finally:
        daemon.stop()
    if Engine.refused:
        raise SystemExit(f"the fake engine was asked what it does not know: {Engine.refused[:5]}")
    server.shutdown()
    engine.shutdown()


def advertise(port, number):
    """What `git ls-remote` asks a server for, without git on this side."""
    for body in (None, b"0014command=ls-refs\n0014agent=git/bench0001001bref-prefix refs/heads/\n0000"):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Git-Protocol": "version=2"}
        if body is None:
            connection.request("GET", f"/p{number}.git/info/refs?service=git-upload-pack", headers=headers)
        else:
            headers["Content-Type"] = "application/x-git-upload-pack-request"
            connection.request("POST", f"/p{number}.git/git-upload-pack", body, headers)
        connection.getresponse().read()
        connection.close()


def register(daemon, port, engine_socket):
    def one(number):
        name = f"p{number}"
        api(daemon.socket, "POST", "/api/v1/projects",
            {"name": name, "url": f"http://127.0.0.1:{port}/{name}.git", "tracked": "main"})
        api(daemon.socket, "POST", f"/api/v1/projects/{name}/environments",
            {"name": "production", "provider": "docker", "settings": {"host": f"unix://{engine_socket}"}})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(PROJECTS)))


def wait_for_reads(daemon):
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        views = api(daemon.socket, "GET", "/api/v1/status")
        read = sum(1 for view in views if (view.get("read") or {}).get("state") == "ok")
        if read == PROJECTS:
            return
        time.sleep(1)
    raise SystemExit("not every project was read within ten minutes")


def settle(daemon):
    """Waits until the daemon has nothing left to catch up with."""
    quiet = 0
    while quiet < 3:
        asked, cpu = GitHttp.asked, daemon.cpu()
        time.sleep(2)
        quiet = quiet + 1 if daemon.cpu() - cpu < 0.2 and GitHttp.asked - asked < PROJECTS / 10 else 0


# A process that obeys SIGTERM, so that the stop grace is not what is measured.
OBEYS = '{indent}command: [/bin/sh, -c, "trap \'exit 0\' TERM; while :; do sleep 0.05; done"]'


def docker_services(directory):
    """Ten services on the real engine."""
    image = f"{NAME}:1"
    layer = directory / "layer"
    (layer / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", layer / "bin/busybox")
    for link in ("sh", "httpd", "sleep"):
        (layer / "bin" / link).symlink_to("busybox")
    archive = directory / "image.tar"
    run("tar", "-C", layer, "-cf", archive, ".")
    run("docker", "import", archive, image)
    repository = directory / "shop"
    git = ("git", "-C", repository, "-c", "user.name=Bench", "-c", "user.email=bench@example.org")
    run("git", "init", "--quiet", "--initial-branch=main", repository)

    def declare(level):
        lines = ["version: 1", "environments:", "  production:", "    services:"]
        for number in range(10):
            value = level if number == 0 else "info"
            lines += [f"      s{number}:", f"        image: {image}", OBEYS.format(indent=" " * 8),
                      "        port: 8080", "        stop_grace_period: 10s", f"        env: {{LOG_LEVEL: {value}}}",
                      "        healthcheck: {command: [/bin/sh, -c, 'exit 0'], interval: 1s}"]
        (repository / ".trueup.yml").write_text("\n".join(lines) + "\n")
        run(*git, "add", ".")
        run(*git, "commit", "--quiet", "--allow-empty", "--message", level)

    declare("info")
    daemon = Daemon(directory / "docker")
    environment = f"{NAME}/production"
    try:
        run(*daemon.cli("project", "add", NAME, repository, "--branch", "main"))
        run(*daemon.cli("env", "add", environment, "--provider", "docker"))
        run(*daemon.cli("sync", environment, "--yes"))
        names = run("docker", "ps", "--filter", f"label=dev.trueup.project={NAME}", "--format", "{{.Names}}").stdout.split()
        answers = statistics.median(engine_answers(names) for _ in range(7))
        planned = timed(*daemon.cli("plan", environment))
        beyond = (planned - answers) * 1000
        row("`trueup plan` over 10 Docker services, beyond the Engine's own answers", "under 60 ms", f"{beyond:.0f} ms", beyond < 60,
            "one list and ten inspects over the socket, one after another")
        inspect = timed("docker", "inspect", *names)
        nothing = timed(*daemon.cli("sync", environment, "--yes"))
        row("`trueup sync` with nothing to do, 10 services", "at most twice the peer's", f"{nothing / inspect:.2f}×",
            nothing <= 2 * inspect, "`docker inspect` of the same ten containers")
        changed = []
        for number in range(5):
            declare(f"level{number}")
            begun = time.perf_counter()
            run(*daemon.cli("sync", environment, "--yes"))
            changed.append(time.perf_counter() - begun)
        compose = compose_changes(directory, image)
        ratio = statistics.median(changed) / compose
        row("`trueup sync` of one changed service with its health gate", "no slower than the peer", f"{ratio:.2f}×", ratio <= 1,
            "`docker-compose up -d` of the same change, same stop grace, ten services")
        noticed(daemon, declare, environment)
    finally:
        daemon.stop()
        ids = run("docker", "ps", "-aq", "--filter", f"label=dev.trueup.project={NAME}").stdout.split()
        if ids:
            run("docker", "rm", "-f", "-v", *ids)
        run("docker", "network", "rm", f"{NAME}-production", check=False)
        run("docker", "rmi", image, check=False)


def engine_answers(names):
    begun = time.perf_counter()
    connection = UnixConnection("/var/run/docker.sock")
    for url in ["/v1.41/containers/json?all=true", *(f"/v1.41/containers/{name}/json" for name in names)]:
        connection.request("GET", url)
        connection.getresponse().read()
    connection.close()
    return time.perf_counter() - begun


def compose_changes(directory, image):
    folder = directory / "compose"
    folder.mkdir()

    def declare(level):
        lines = ['version: "3.8"', "services:"]
        for number in range(10):
            value = level if number == 0 else "info"
            lines += [f"  s{number}:", f"    image: {image}", OBEYS.format(indent=" " * 4), "    init: false",
                      "    stop_grace_period: 10s", f"    environment: {{LOG_LEVEL: {value}}}"]
        (folder / "docker-compose.yml").write_text("\n".join(lines) + "\n")

    up = ("docker-compose", "-p", f"{NAME}c", "-f", folder / "docker-compose.yml", "up", "-d")
    try:
        declare("info")
        run(*up)
        walls = []
        for number in range(5):
            declare(f"level{number}")
            begun = time.perf_counter()
            run(*up)
            walls.append(time.perf_counter() - begun)
        return statistics.median(walls)
    finally:
        run("docker-compose", "-p", f"{NAME}c", "-f", folder / "docker-compose.yml", "down", "-t", "1", check=False)


def noticed(daemon, declare, environment):
    """From a commit's end to its plan in the database."""
    project, name = environment.split("/")
    walls = []
    for number in range(7):
        before = api(daemon.socket, "GET", f"/api/v1/status?project={project}&environment={name}")[0].get("plan_digest")
        declare(f"noticed{number}")
        begun = time.perf_counter()
        while True:
            now = api(daemon.socket, "GET", f"/api/v1/status?project={project}&environment={name}")[0].get("plan_digest")
            if now != before:
                break
            if time.perf_counter() - begun > 30:
                raise SystemExit("a commit was not noticed within 30 s")
            time.sleep(0.002)
        walls.append((time.perf_counter() - begun) * 1000)
    wall = statistics.median(walls)
    row("a commit in a local repository to its plan in the database", "under 250 ms", f"{wall:.0f} ms", wall < 250, "")


def planning():
    """What `cargo bench --bench plan` measured, question by question."""
    measured = False
    for question, words in (("in_sync", "nothing differs"), ("drift", "every tenth service differs"), ("first_sync", "nothing runs yet")):
        def median(size):
            file = ROOT / "target/criterion" / f"plan_{question}" / str(size) / "new/estimates.json"
            return json.loads(file.read_text())["median"]["point_estimate"] / 1e6 if file.exists() else None

        small, target, large = median(1_000), median(10_000), median(100_000)
        if target is None:
            continue
        measured = True
        row(f"comparing and planning 10,000 services of 20 leaves, one core: {words}", "under 100 ms", f"{target:.0f} ms", target < 100, "")
        if small and large:
            row("… 1,000, 10,000 and 100,000 services", "linear", f"{small:.1f}, {target:.0f} and {large:.0f} ms, {large / small:.0f}×",
                large / small < 150, "the same with a tenth and with ten times as many")
    if not measured:
        print("no figures of `cargo bench --bench plan`: run it first", file=sys.stderr)


def write():
    commit = run("git", "-C", ROOT, "rev-parse", "--short=12", "HEAD").stdout.strip()
    engine = run("docker", "version", "--format", "{{.Server.Version}}").stdout.strip()
    lines = [
        "# Performance", "",
        "Written by `benches/measure.py`; do not edit. Every figure comes from one run on one machine, a release build, with",
        "the peer's command in the table and run beside it. Absolute times are of that machine; ratios travel better.", "",
        "```console", "$ cargo build --release", "$ cargo bench --bench plan", "$ python3 benches/measure.py", "```", "",
        f"Commit {commit}, {os.cpu_count()} cores, Docker Engine {engine}, {time.strftime('%Y-%m-%d')}.", "",
        "| what | target | measured | | peer |", "|---|---|---|---|---|",
    ]
    lacking = [words for part, words in (("planning", "comparing and planning 10,000 services (`cargo bench --bench plan`)"), ("idle", "the thousand projects"))
               if not any(part in what for what, *_ in ROWS)]
    if lacking:
        lines.insert(-2, f"Not measured in this run, so nothing is claimed of it: {'; '.join(lacking)}.\n")
    lines += [f"| {what} | {target} | {measured} | {met} | {peer} |" for what, target, measured, met, peer in ROWS]
    page = ROOT / "docs/performance.md"
    _, heading, webhooks = page.read_text().partition(WEBHOOKS)
    page.write_text("\n".join(lines) + "\n" + (f"\n{heading}{webhooks}" if heading else ""))


def main():
    if not TRUEUP.exists():
        raise SystemExit("target/release/trueup is missing: cargo build --release")
    with tempfile.TemporaryDirectory(prefix="trueup-bench-") as directory:
        planning()
        # Each part is kept as soon as it is measured.
        docker_services(pathlib.Path(directory))
        write()
        many_projects(pathlib.Path(directory))
        write()


if __name__ == "__main__":
    main()
